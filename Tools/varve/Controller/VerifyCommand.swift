import ArgumentParser
import Block
import Device
import JSONValue
import NVMe

/// `varve verify`: reads every block of a namespace where it lies.
struct Verify: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Check that every block of a namespace can be read.",
    discussion: """
      The controller's Verify command checks blocks and their protection information without transferring them; where it \
      has none they are read. Ends with 1 when a block is bad.
      """)

  @OptionGroup var target: DeviceArgument

  @Option(
    help: ArgumentHelp("Only these blocks of 4 KiB, the last included: 0-1023.", valueName: "first-last"))
  var range: BlockRange?

  @OptionGroup var output: OutputOptions

  /// Blocks checked at a time: 4 MiB.
  private static let step: UInt64 = 1024
  /// The memory that reads go through, in frames.
  private static let frames = 256

  func run() throws {
    let report = try target.withController { controller, namespace in
      let device = try NamespaceDevice(controller: controller, namespace: namespace, arenaFrames: Self.frames)
      device.closesController = false
      defer { device.close() }
      return try check(device)
    }
    output.print(report.json, normal: report.text)
    guard report.bad.isEmpty else { throw ExitCode(1) }
  }

  private func check(_ device: NamespaceDevice) throws -> VerifyReport {
    let blocks = range?.blocks ?? 0..<device.blockCount
    guard blocks.upperBound <= device.blockCount else {
      throw DeviceError("\(device.name) has \(device.blockCount) blocks; use a smaller --range")
    }
    var report = VerifyReport(device: device.name, isVerified: device.canVerify, blocks: blocks)
    let driver = SynchronousDevice(device)
    for first in stride(from: blocks.lowerBound, to: blocks.upperBound, by: Int(Self.step)) {
      let count = min(Self.step, blocks.upperBound - first)
      do {
        try driver.verify(block: first, count: count)
      } catch {
        try Self.check(driver, device, first..<first + count, &report)
      }
    }
    return report
  }

  /// Finds out which blocks are bad.
  private static func check(
    _ driver: SynchronousDevice, _ device: NamespaceDevice, _ blocks: Range<UInt64>,
    _ report: inout VerifyReport
  ) throws {
    for block in blocks {
      do {
        try driver.verify(block: block, count: 1)
      } catch {
        // Of a controller that is gone nothing more can be said.
        guard device.controller.failure == nil else { throw error }
        report.bad.append((block, device.errors.last.map { "\($0.status)" } ?? "\(error)"))
      }
    }
  }
}

/// A range of blocks on the command line: `first-last`.
struct BlockRange: ExpressibleByArgument {
  let blocks: Range<UInt64>

  init?(argument: String) {
    let parts = argument.split(separator: "-", omittingEmptySubsequences: false).map { UInt64($0) }
    guard parts.count == 2, let first = parts[0], let last = parts[1], first <= last, last < .max else {
      return nil
    }
    blocks = first..<last + 1
  }
}

/// What came of checking a namespace.
struct VerifyReport {
  let device: String
  /// Whether the controller checked the blocks by itself.
  let isVerified: Bool
  let blocks: Range<UInt64>
  /// The bad blocks, each with the status it ended with.
  var bad: [(block: UInt64, status: String)] = []

  init(device: String, isVerified: Bool, blocks: Range<UInt64>) {
    self.device = device
    self.isVerified = isVerified
    self.blocks = blocks
  }

  var json: JSON {
    .object([
      ("device", .text(device)), ("command", .text(isVerified ? "verify" : "read")),
      ("first", .integer(blocks.lowerBound)), ("blocks", .integer(blocks.count)),
      ("bad", .array(bad.map { .object([("block", .integer($0.block)), ("status", .text($0.status))]) })),
    ])
  }

  var text: String {
    let lines = bad.map { "block \($0.block): \($0.status)" }
    let how = isVerified ? "verified by the controller" : "read"
    return (lines + ["\(device): \(blocks.count) blocks \(how), \(bad.count) bad"]).joined(separator: "\n")
  }
}
