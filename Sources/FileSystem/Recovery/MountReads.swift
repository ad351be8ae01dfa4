import BlockProtocol
import FileProtocol
import Format
import Glibc

/// The reads of a mount: some blocks at a time, each into a buffer of its own.
///
/// Owns these buffers and the results of the reads. It promises that the buffer of a block that could not be
/// read holds zeros, and that such a block is damaged by itself: a failed read is repeated, each time beside a
/// read of a block that could be read before. Where that one fails too, it is the device that does not read,
/// and the mount is refused: it must not take what it cannot see for a lost checkpoint or the end of the log.
final class MountReads {
  /// How often a failed read is repeated.
  private static let retriesAtMost = 3

  private let cache: Cache
  private let effects: Effects
  private let condition: Condition
  private let volume: Volume
  /// The blocks to be read, the frames that they are read into, in order, and their errors. After the blocks
  /// asked for comes the control.
  private var blocks: [UInt64] = []
  private var frames: [FrameIndex] = []
  private var codes: [Int32] = []
  private var pending = 0
  /// How often the current blocks have been read again because of an error.
  private var retries = 0
  /// A block that could be read.
  private var control: UInt64?

  init(cache: Cache, effects: Effects, condition: Condition, volume: Volume) {
    self.cache = cache
    self.effects = effects
    self.condition = condition
    self.volume = volume
  }

  /// Whether reads are under way.
  var isPending: Bool { pending > 0 }

  /// Reads blocks, each into a buffer of its own, unless they have been read already.
  /// - Returns: true when all reads have ended; after using the blocks the caller calls `end`.
  func fetch(_ wanted: [UInt64]) -> Bool {
    if blocks.isEmpty {
      guard begin(wanted) else { return false }
      for index in wanted.indices { read(index) }
    }
    guard pending == 0 else { return false }
    let failed = codes.indices.filter { codes[$0] != 0 }
    guard let first = failed.first else {
      control = wanted.last ?? control
      return true
    }
    if retries < Self.retriesAtMost {
      retries += 1
      if control != nil { read(wanted.count) }
      for index in failed where index < wanted.count { read(index) }
      guard pending == 0 else { return false }
    }
    if failed.last == wanted.count {
      let (isGone, block) = (codes[first] == ENODEV, blocks[first])
      end()
      condition.refuse(
        isGone ? "the device is gone" : "the device reads nothing (block \(block)); mount again when it does")
      return false
    }
    return true
  }

  private func begin(_ wanted: [UInt64]) -> Bool {
    guard cache.reserve(wanted.count + 1) else {
      condition.refuse("too little memory to mount; give a larger cache")
      return false
    }
    blocks = wanted + [control ?? 0]
    codes = Array(repeating: 0, count: blocks.count)
    for _ in blocks { frames.append(cache.takeBuffer()) }
    return true
  }

  private func read(_ index: Int) {
    guard blocks[index] < volume.blockCount else { return finish(index, EIO) }
    pending += 1
    effects.submit(
      BlockCommand(
        .read, block: blocks[index], count: 1, frames: cache.run(from: frames[index]),
        tag: Tag(.mount, UInt64(index)).raw))
  }

  /// A read has ended.
  func ended(_ index: Int, _ code: Int32) {
    pending -= 1
    finish(index, code)
  }

  /// Notes how a read went. A block that could not be read is cleared, so that it matches no checksum.
  private func finish(_ index: Int, _ code: Int32) {
    guard frames.indices.contains(index) else { return }
    codes[index] = code
    if code != 0 { cache.page(frames[index]).clear() }
  }

  /// Gives the buffers back after their blocks have been used.
  func end() {
    for frame in frames { cache.giveBack(frame) }
    frames.removeAll(keepingCapacity: true)
    blocks.removeAll(keepingCapacity: true)
    retries = 0
  }

  /// The block read as number `index`.
  func page(_ index: Int) -> Page { cache.page(frames[index]) }

  /// The error of the block read as number `index`, 0 for none.
  func code(_ index: Int) -> Int32 { codes[index] }
}
