import ArgumentParser
import Block
import Device
import Format
import Glibc
import NVMe
import ToolSupport

/// `varve wipe`: takes a filesystem of ours away, so that nothing of it is ever found again.
struct Wipe: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Remove every trace of a Varve filesystem from a device.",
    discussion: """
      Where the device holds the filesystem, its superblocks, checkpoints and tables are written over with zeros, and the \
      rest is deallocated, so that all of it is lost. Where something else has been put on the device since, only the copy of the superblock in the last block is \
      written over, and nothing of what is there. Asks for --force.
      """)

  @OptionGroup var target: DeviceArgument

  @Flag(help: "Do it.")
  var force = false

  /// Blocks written at a time.
  private static let blocksAtATime: UInt64 = 512

  func run() throws {
    try target.withController { controller, namespace in
      let device = try NamespaceDevice(
        controller: controller, namespace: namespace, arenaFrames: Int(Self.blocksAtATime))
      device.closesController = false
      defer { device.close() }
      guard !device.isWriteProtected else { throw DeviceError("\(target.device) is write protected") }
      try wipe(device)
    }
  }

  private func wipe(_ device: NamespaceDevice) throws {
    let last = device.blockCount - 1
    var ranges: [Range<UInt64>] = []
    var rest = 0..<UInt64(0)
    let what: String
    if let identity = try? Identity(of: device) {
      let geometry = identity.superblock.geometry
      ranges = [0..<geometry.firstSegmentBlock, geometry.blockCount - 1..<geometry.blockCount]
      rest = geometry.firstSegmentBlock..<geometry.blockCount - 1
      what = "the filesystem \(identity.uuidText), with all that is in it"
    } else {
      what = "the copy of a superblock in the last block"
    }
    let reader = SynchronousDevice(device)
    if (try? Identity(block: reader.read(block: last, count: 1))) != nil { ranges.append(last..<last + 1) }
    guard !ranges.isEmpty else { throw DeviceError("\(target.device) holds nothing of Varve's") }
    guard force else { throw DeviceError("\(target.device) holds \(what); use --force to remove it") }
    for range in ranges { try clear(range, of: reader) }
    // What lies there means nothing without its superblock, so a device that cannot do this loses nothing by it.
    if device.canDiscard, !rest.isEmpty {
      try? reader.discard(block: rest.lowerBound, count: UInt64(rest.count))
    }
    try reader.flush()
    print("removed \(what)".printable)
  }

  private func clear(_ range: Range<UInt64>, of device: SynchronousDevice) throws {
    let zeros = [UInt8](repeating: 0, count: Int(Self.blocksAtATime) * Page.size)
    var block = range.lowerBound
    while block < range.upperBound {
      let count = min(Self.blocksAtATime, range.upperBound - block)
      try zeros.withUnsafeBytes {
        try device.write(block: block, UnsafeRawBufferPointer(rebasing: $0[..<(Int(count) * Page.size)]))
      }
      block += count
    }
  }
}
