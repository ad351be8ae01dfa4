import CMachine

/// A block that could not be read or written.
public struct BlockFailure: Error, Sendable, Equatable, CustomStringConvertible {
  public let block: UInt64
  /// The errno, as Linux's block layer would return it.
  public let errno: Int32

  /// The device's status in words; empty where there is none.
  public let said: String

  public init(block: UInt64, errno: Int32, said: String = "") {
    self.block = block
    self.errno = errno
    self.said = said
  }

  public var description: String {
    "block \(block): \(String(cString: cm_block_error(errno)))\(said.isEmpty ? "" : " (\(said))")"
  }
}

/// Blocks of 4 KiB that can be read.
public protocol BlockReader: AnyObject {
  /// The size in blocks.
  var blockCount: UInt64 { get }

  /// Reads blocks, in any order, one after the other into `memory`.
  ///
  /// A block that cannot be read does not stop the others. Its part of `memory` is undefined.
  /// - Returns: the blocks that could not be read.
  func read(_ blocks: UnsafeBufferPointer<UInt64>, into memory: UnsafeMutableRawPointer) -> [BlockFailure]
}

/// Blocks that can also be written.
public protocol BlockWriter: BlockReader {
  /// Writes whole blocks from `block` on.
  func write(_ bytes: UnsafeRawBufferPointer, at block: UInt64) throws(BlockFailure)

  /// Makes what was written durable.
  func flush() throws(BlockFailure)
}

extension BlockReader {
  /// Reads a block.
  /// - Returns: whether it could be read.
  public func readBlock(_ block: UInt64, into memory: UnsafeMutableRawPointer) -> Bool {
    read(block: block, count: 1, into: memory).isEmpty
  }

  /// Reads `count` neighbouring blocks.
  func read(block: UInt64, count: Int, into memory: UnsafeMutableRawPointer) -> [BlockFailure] {
    let blocks = (0..<UInt64(count)).map { block &+ $0 }
    return blocks.withUnsafeBufferPointer { read($0, into: memory) }
  }
}
