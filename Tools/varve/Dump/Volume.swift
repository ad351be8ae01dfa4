import Block
import BlockProtocol
import Device
import Format

/// A filesystem on a device as its last checkpoint has it, for reading. What the log holds after the checkpoint is not
/// applied.
struct Volume {
  private let device: SynchronousDevice
  let superblock: Superblock
  let checksum: Checksum

  var geometry: Geometry { superblock.geometry }

  /// Reads the superblock of a device.
  /// - Throws: `DeviceError` when there is none, or the device is smaller than the filesystem.
  init(_ device: any BlockDevice) throws(DeviceError) {
    superblock = try Identity(of: device).superblock
    let blocks = superblock.geometry.blockCount
    guard blocks <= device.blockCount else {
      throw DeviceError(
        "\(device.name): \(FormatError.truncated(expected: blocks, found: device.blockCount))")
    }
    checksum = Checksum(nonce: superblock.nonce)
    self.device = SynchronousDevice(device)
  }

  /// Reads a block, whatever it holds.
  func block(_ address: UInt64) throws(DumpError) -> DumpedBlock {
    guard address < device.blockCount else { throw DumpError("block \(address) lies outside of the device") }
    let block = DumpedBlock()
    do throws(BlockDeviceError) {
      try device.read(block: address, into: block.bytes)
    } catch { throw DumpError("\(error)") }
    return block
  }

  /// Reads a block whose checksum is known.
  /// - Parameter what: what the block is, for the message.
  func block(_ address: UInt64, checksum expected: UInt32, _ what: String) throws(DumpError) -> DumpedBlock {
    let block = try block(address)
    guard block.read({ checksum.of($0) }) == expected else {
      throw DumpError("\(what), block \(address), is damaged (checksum); run fsck.varve")
    }
    return block
  }

  /// Reads one copy of a checkpoint pack; nil when it is not a valid one.
  func pack(slot: Int, copy: Int) throws(DumpError) -> CheckpointPack? {
    let first = geometry.packBlock(slot: slot, copy: copy)
    var bytes: [UInt8] = []
    for offset in 0..<geometry.packBlocks {
      let block = try block(first + offset)
      bytes += block.read { Array($0.bytes(at: 0, count: Page.size)) }
    }
    return bytes.withUnsafeMutableBytes {
      CheckpointPack(decoding: $0, geometry: geometry, nonce: superblock.nonce)
    }
  }

  /// The checkpoint that a mount takes: the valid one with the highest sequence.
  func checkpoint() throws(DumpError) -> CheckpointPack {
    var newest: CheckpointPack?
    for slot in 0...1 {
      for copy in 0...1 {
        guard let pack = try pack(slot: slot, copy: copy) else { continue }
        if pack.sequence > newest?.sequence ?? 0 { newest = pack }
      }
    }
    guard let newest else { throw DumpError("all copies of the checkpoints are damaged; run fsck.varve") }
    return newest
  }
}

/// A block that was read.
final class DumpedBlock {
  private let base = UnsafeMutableRawPointer.allocate(byteCount: Page.size, alignment: Page.size)

  init() { base.initializeMemory(as: UInt8.self, repeating: 0, count: Page.size) }

  deinit { base.deallocate() }

  /// Where the block is read to.
  fileprivate var bytes: UnsafeMutableRawBufferPointer {
    UnsafeMutableRawBufferPointer(start: base, count: Page.size)
  }

  /// Lends the block.
  func read<Result, Failure: Error>(_ body: (Page) throws(Failure) -> Result) throws(Failure) -> Result {
    defer { withExtendedLifetime(self) {} }
    return try body(Page(base))
  }
}

/// Why a structure cannot be shown.
struct DumpError: Error, CustomStringConvertible {
  let description: String

  init(_ description: String) { self.description = description }
}
