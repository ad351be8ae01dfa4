import BlockProtocol
import FileProtocol
import Format
import Glibc

/// The reads of a mount: some blocks at a time, each into a buffer of its own.
///
/// Owns these buffers and the results of the reads. It promises that the buffer of a block that could not be
/// read holds zeros.
final class MountReads {
  /// How often a failed read is repeated.
  private static let retriesAtMost = 3

  private let cache: Cache
  private let effects: Effects
  private let condition: Condition
  private let volume: Volume
  /// Frames that blocks are read into, in order, and their errors.
  private(set) var frames: [FrameIndex] = []
  private var codes: [Int32] = []
  private var pending = 0
  private var hasIssued = false
  /// How often the current blocks have been read again because of an error.
  private var retries = 0

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
  func fetch(_ blocks: [UInt64]) -> Bool {
    if hasIssued { return true }
    hasIssued = true
    codes = Array(repeating: 0, count: blocks.count)
    guard cache.reserve(blocks.count) else {
      condition.refuse("too little memory to mount; give a larger cache")
      return false
    }
    for (index, block) in blocks.enumerated() {
      let frame = cache.takeBuffer()
      frames.append(frame)
      guard block < volume.blockCount else {
        codes[index] = EIO
        cache.page(frame).clear()
        continue
      }
      pending += 1
      effects.commands.append(
        BlockCommand(
          .read, block: block, count: 1, frames: cache.run(from: frame), tag: Tag(.mount, UInt64(index)).raw))
    }
    return pending == 0
  }

  /// A read has ended. A block that could not be read is cleared, so that it matches no checksum.
  func ended(_ index: Int, _ code: Int32) {
    pending -= 1
    guard code != 0, frames.indices.contains(index) else { return }
    codes[index] = code
    cache.page(frames[index]).clear()
  }

  /// Gives the buffers back after their blocks have been used.
  func end() {
    for frame in frames { cache.giveBack(frame) }
    frames.removeAll(keepingCapacity: true)
    hasIssued = false
  }

  /// The block read as number `index`.
  func page(_ index: Int) -> Page { cache.page(frames[index]) }

  /// The error of the block read as number `index`, 0 for none.
  func code(_ index: Int) -> Int32 { codes[index] }

  /// Whether the blocks are to be read once more, because of an error that may be transient.
  func readsAgain() -> Bool {
    guard codes.contains(where: { $0 != 0 }), retries < Self.retriesAtMost else {
      retries = 0
      return false
    }
    retries += 1
    return true
  }
}
