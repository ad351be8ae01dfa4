import ArgumentParser
import Block
import BlockProtocol
import CMachine
import Control
import Device
import Format
import Glibc
import JSONValue
import NVMe
import ToolSupport

/// `mkfs.varve`: makes a filesystem.
package struct Make: ParsableCommand {
  package static let configuration = CommandConfiguration(
    commandName: "mkfs.varve",
    abstract: "Make a varve filesystem on an NVMe namespace or an image file.",
    discussion:
      "With SIZE (512M, 4G, …) an image file is made, or made that large, first. Everything on the device is lost.",
    version: "mkfs.varve \(varveVersion)")

  @Flag(name: .short, help: "Overwrite what the device holds: a filesystem, a partition table, swap.")
  var force = false
  @Flag(name: .short, help: "Say nothing when it went well.")
  var quiet = false
  @Flag(name: .customShort("n"), help: "Change nothing; only say what would be made.")
  var dryRun = false
  @Flag(name: .customShort("K"), help: "Do not deallocate what the device holds first.")
  var keepsBlocks = false
  @Option(
    name: .customShort("L"),
    help: ArgumentHelp("A name for the filesystem, up to 64 bytes.", valueName: "label"))
  var label: String = ""
  @Option(
    name: .customShort("U"), help: ArgumentHelp("The UUID, instead of a random one.", valueName: "uuid"))
  var uuid: String?
  @Option(help: ArgumentHelp("Size of a segment: 512K to 32M, a power of two.", valueName: "size"))
  var segmentSize: String?
  @Option(
    help: ArgumentHelp(
      "Format the namespace with this LBA format first (Format NVM); varve ns shows them.", valueName: "lbaf")
  )
  var format: UInt8?
  @Option(
    help: ArgumentHelp(
      "With --format: 1 to erase all user data, 2 to throw away the key it is encrypted with.",
      valueName: "0|1|2"))
  var secureErase: UInt8 = 0
  @Flag(help: "Print what was made as JSON.")
  var json = false
  @Argument(help: "The device: nvme://0000:01:00.0/1, or a path to an image file.")
  var device: String
  @Argument(help: "The size of the image file.")
  var size: String?

  package init() {}

  package static func main() {
    do {
      var command = try parseAsRoot()
      try command.run()
    } catch let error as Refusal {
      say("mkfs.varve: \(error.reason)")
      Glibc.exit(1)
    } catch {
      switch exitCode(for: error) {
      case .success: exit(withError: error)
      case .failure:
        say("mkfs.varve: \(error)")
        Glibc.exit(1)
      case let status:
        say("mkfs.varve: \(message(for: error)); see: mkfs.varve --help")
        Glibc.exit(status.rawValue)
      }
    }
  }

  private static func say(_ text: String) {
    let line = Array("\(text.printable)\n".utf8)
    _ = Glibc.write(STDERR_FILENO, line, line.count)
  }

  package func validate() throws {
    guard label.utf8.count <= Superblock.labelSize else {
      throw ValidationError("the label is longer than 64 bytes")
    }
    if let uuid, Identity.bytes(ofUUID: uuid) == nil {
      throw ValidationError("'\(uuid)' is no UUID; write 8-4-4-4-12 hexadecimal digits")
    }
    if let segmentSize, Size.bytes(segmentSize) == nil {
      throw ValidationError("'\(segmentSize)' is no size; write 8M")
    }
    guard let erase = SecureErase(rawValue: secureErase) else {
      throw ValidationError("--secure-erase \(secureErase) is none of 0, 1 and 2")
    }
    guard erase == .none || format != nil else {
      throw ValidationError("--secure-erase is a way to format; say --format as well")
    }
    if let size, Size.bytes(size) == nil { throw ValidationError("'\(size)' is no size; write 4G or 512M") }
  }

  package func run() throws {
    let image = try ImageFile(device: device, size: size.flatMap(Size.bytes), dryRun: dryRun)
    do {
      try make()
    } catch {
      image.undo()
      throw error
    }
  }

  /// Blocks in the arena: the largest single write is a pack or a segment's beginning.
  private static let arenaFrames = 512

  private func make() throws {
    try Daemons.requireNone(on: device)
    let (controller, namespace) = try DeviceLocator.openController(device) { Self.say("mkfs.varve: \($0)") }
    defer { controller.close() }
    for warning in controller.warnings {
      Self.say("mkfs.varve: \(device) warns: \(warning)")
    }
    let obstacle = controller.namespaces.first { $0.identifier == namespace }?.obstacle
    if format == nil, let obstacle { throw Refusal("\(device): \(obstacle)") }
    if !force, let found = try Signature.find(on: namespace, of: controller) {
      throw Refusal("\(device) holds \(found); use -f to overwrite it")
    }
    if !dryRun { try formatNamespace(namespace, of: controller) }
    let block = try NamespaceDevice(
      controller: controller, namespace: namespace, arenaFrames: Self.arenaFrames)
    block.closesController = false
    defer { block.close() }
    let superblock = try newSuperblock(blocks: block.blockCount)
    if !dryRun, block.isWriteProtected {
      throw Refusal("\(device) is write protected; make it writable first")
    }
    if !dryRun { try write(superblock, to: block) }
    if !quiet, let warning = ImageExposure.warning(of: device) { Self.say("mkfs.varve: \(warning)") }
    report(superblock)
  }

  /// Has the controller format the namespace, if that was asked for.
  private func formatNamespace(_ namespace: UInt32, of controller: Controller) throws {
    guard let format else { return }
    var choice = FormatChoice(format: format)
    choice.secureErase = SecureErase(rawValue: secureErase) ?? .none
    let others = controller.namespacesFormattedAlong(with: namespace, secureErase: choice.secureErase)
    guard others.isEmpty else {
      throw Refusal(
        "\(device): the controller formats all namespaces at once, \(others) too; use varve format --force")
    }
    try controller.format(namespace, as: choice)
  }

  private func newSuperblock(blocks: UInt64) throws -> Superblock {
    let segment = segmentSize.flatMap(Size.bytes).map { UInt32(clamping: $0 / UInt64(Page.size)) }
    let geometry: Geometry
    do throws(FormatError) {
      geometry = try Geometry.fitting(blockCount: blocks, segmentBlocks: segment)
    } catch { throw Refusal("\(device): \(error)") }
    let chosen = uuid.flatMap(Identity.bytes(ofUUID:))
    return Superblock(
      uuid: chosen ?? Self.randomUUID(), nonce: .random(), label: Array(label.utf8), geometry: geometry,
      created: cm_realtime_ns(), hashKey: (.random(in: .min ... .max), .random(in: .min ... .max)),
      programVersion: Array(varveVersion.utf8))
  }

  /// A random UUID, version 4 (RFC 9562).
  private static func randomUUID() -> [UInt8] {
    var bytes = (0..<16).map { _ in UInt8.random(in: .min ... .max) }
    bytes[6] = bytes[6] & 0x0F | 0x40
    bytes[8] = bytes[8] & 0x3F | 0x80
    return bytes
  }

  /// Blocks that are discarded with one command.
  private static let discardStep: UInt64 = 1 << 18

  private func write(_ superblock: Superblock, to block: any BlockDevice) throws {
    let device = SynchronousDevice(block)
    // First of all nothing of a former filesystem may be found, should this be interrupted.
    let zeros = [UInt8](repeating: 0, count: Page.size)
    try device.write(block: 0, zeros)
    try device.write(block: block.blockCount - 1, zeros)
    try device.flush()
    if block.canDiscard, !keepsBlocks {
      for start in stride(from: UInt64(0), to: block.blockCount, by: Int(Self.discardStep)) {
        try device.discard(block: start, count: min(Self.discardStep, block.blockCount - start))
      }
    }
    var isFlushed = false
    try Formatter(superblock).emit(owner: (getuid(), getgid())) {
      first, bytes, isSuperblock throws(BlockDeviceError) in
      if isSuperblock, !isFlushed {
        try device.flush()
        isFlushed = true
      }
      try device.write(block: first, bytes)
    }
    try device.flush()
  }

  private func report(_ superblock: Superblock) {
    let geometry = superblock.geometry
    let uuid = Identity.text(ofUUID: superblock.uuid)
    let bytes = geometry.blockCount * UInt64(Page.size)
    let segment = UInt64(geometry.segmentBlocks) * UInt64(Page.size)
    if json {
      let members: [(name: String, value: JSON)] = [
        ("device", .text(device)), ("uuid", .text(uuid)), ("label", .text(label)), ("bytes", .integer(bytes)),
        ("blocks", .integer(geometry.blockCount)), ("segment_bytes", .integer(segment)),
        ("segments", .integer(geometry.segmentCount)), ("made", .bool(!dryRun)),
      ]
      print(JSON.object(members))
    } else if !quiet {
      let made = dryRun ? "Would make" : "Made"
      print("\(made) a varve filesystem on \(device): \(Size.text(bytes))".printable)
      print("UUID \(uuid)\(label.isEmpty ? "" : ", label \(label)")".printable)
      print("\(geometry.segmentCount) segments of \(Size.text(segment))")
    }
  }
}

/// Why no filesystem is made.
struct Refusal: Error {
  let reason: String
  init(_ reason: String) { self.reason = reason }
}
