import BlockProtocol
import FileProtocol
import Format
import Glibc

/// Reads of a mount: some blocks at a time, each into a frame of its own, until they have been looked at.
///
/// Owns these frames and what became of the reads. It promises that what could not be read is zeros, not what
/// the frame held before.
final class MountReads {
  /// How often a block of the log, or a checkpoint, is read again when it cannot be read.
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
  /// How often what is being read was read again because of an error.
  private var retries = 0

  init(cache: Cache, effects: Effects, condition: Condition, volume: Volume) {
    self.cache = cache
    self.effects = effects
    self.condition = condition
    self.volume = volume
  }

  /// Whether reads are under way.
  var isPending: Bool { pending > 0 }

  /// Reads blocks, one into each of as many frames, unless they have been read already.
  /// - Returns: true when they are there; `end` comes when they have been looked at.
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

  /// A read has ended. What could not be read counts as not matching.
  func ended(_ index: Int, _ code: Int32) {
    pending -= 1
    guard code != 0, frames.indices.contains(index) else { return }
    codes[index] = code
    cache.page(frames[index]).clear()
  }

  /// What was read has been looked at.
  func end() {
    for frame in frames { cache.giveBack(frame) }
    frames.removeAll(keepingCapacity: true)
    hasIssued = false
  }

  /// The block read as number `index`.
  func page(_ index: Int) -> Page { cache.page(frames[index]) }

  /// The error of the block read as number `index`, 0 for none.
  func code(_ index: Int) -> Int32 { codes[index] }

  /// Whether what is to be read is to be read once more, because of an error that may pass.
  func readsAgain() -> Bool {
    guard codes.contains(where: { $0 != 0 }), retries < Self.retriesAtMost else {
      retries = 0
      return false
    }
    retries += 1
    return true
  }
}
