import BlockProtocol
import FileProtocol
import Format
import Glibc

/// File reads from the device straight into the slots of the read requests.
///
/// Owns the state of each slot's read, and the checksums that its blocks must have. A read:
///
///     read ─▶ commands at the device ─▶ all ended ─▶ finished
///       ▲                                    │
///       └────────── once more ◀──────────────┘ a block did not match: it may have been moved
///
/// It promises that no reply has bytes that do not match their checksum.
final class SlotReads {
  /// Blocks that a slot's data area can hold, at most.
  static let maximumBlocks = 272

  /// The read of one slot.
  private struct State {
    /// Device reads still under way.
    var pending = 0
    /// The first error of a read.
    var code: Int32 = 0
    /// A block did not match its checksum.
    var hasMismatch = false
    /// The first of the read's blocks that did not match, or could not be read.
    var badBlock = Int.max
    /// Where that block lies on the device; 0 where it is not known.
    var badAddress: UInt64 = 0
    /// The read was run again after a mismatch.
    var isSecondTry = false
  }

  private let cache: Cache
  private let waiting: Waiting
  private let effects: Effects
  private let volume: Volume
  private let errors: Errors
  private let loader: Loader
  private let slots: RequestSlots
  private let map: FileMap
  private let pages: Pages
  private let states: InodeStates
  private let reads: UnsafeMutablePointer<State>
  /// Expected checksums of the blocks that each slot reads.
  private let checksums: UnsafeMutablePointer<UInt32>
  /// Where the blocks of each command lie: at the place of its first block, the address of that block.
  private let addresses: UnsafeMutablePointer<UInt64>

  init(pages: Pages, slots: RequestSlots, effects: Effects) {
    self.pages = pages
    self.slots = slots
    self.effects = effects
    cache = pages.cache
    waiting = pages.waiting
    volume = pages.nodes.volume
    errors = pages.errors
    loader = pages.loader
    map = pages.map
    states = pages.states
    let count = waiting.slots
    reads = .allocate(capacity: count)
    reads.initialize(repeating: State(), count: count)
    checksums = .allocate(capacity: count * Self.maximumBlocks)
    checksums.initialize(repeating: 0, count: count * Self.maximumBlocks)
    addresses = .allocate(capacity: count * Self.maximumBlocks)
    addresses.initialize(repeating: 0, count: count * Self.maximumBlocks)
  }

  deinit {
    reads.deallocate()
    checksums.deallocate()
    addresses.deallocate()
  }

  /// A request has arrived in a slot.
  @inline(__always)
  func begin(_ slot: Int) { reads[slot] = State() }

  /// Whether any slot's read is under way.
  var isReading: Bool { (0..<waiting.slots).contains { reads[$0].pending > 0 } }

  /// Fills the slot with blocks `range` of a file: cached blocks and holes at once, the others by device
  /// reads. The map nodes for these blocks are in memory.
  /// - Returns: whether all of them are there already.
  func read(_ slot: Int, _ inode: Inode, _ range: Range<UInt64>) throws(Stop) -> Bool {
    let hasPages = states.find(inode.number).map { !states[$0].pages.isEmpty } ?? false
    var run: (block: UInt64, first: Int, count: Int) = (0, 0, 0)
    var place: MapSlot?
    for (position, index) in range.enumerated() {
      if position == 0 || index & 255 == 0 || inode.layout == .direct {
        place = try map.mapSlot(inode, index)
      } else if let known = place {
        place = MapSlot(page: known.page, offset: known.offset + Entry.size)
      }
      if hasPages {
        let frame = pages.dataFrame(inode.number, index)
        if frame != .none, cache[frame].isReady {
          cache.touch(frame)
          slots.page(slot, position).copy(cache.page(frame).bytes(at: 0, count: Page.size), at: 0)
          continue
        }
      }
      let entry = place?.entry ?? Entry()
      guard entry.address != 0 else {
        slots.page(slot, position).clear()
        continue
      }
      guard volume.geometry.segment(of: entry.address) != nil else {
        reads[slot].code = EIO
        continue
      }
      checksums[slot * Self.maximumBlocks + position] = entry.checksum
      if run.count > 0, run.block + UInt64(run.count) == entry.address, run.first + run.count == position {
        run.count += 1
      } else {
        issue(run, slot)
        run = (entry.address, position, 1)
      }
    }
    issue(run, slot)
    guard reads[slot].pending == 0 else {
      waiting.suspendUntilFinished(slot, .read)
      return false
    }
    if reads[slot].code != 0 { throw .fail(reads[slot].code) }
    return true
  }

  private func issue(_ run: (block: UInt64, first: Int, count: Int), _ slot: Int) {
    guard run.count > 0 else { return }
    reads[slot].pending += 1
    addresses[slot * Self.maximumBlocks + run.first] = run.block
    let first = slots.requests[slot].firstFrame + FrameIndex(truncatingIfNeeded: run.first)
    effects.submit(
      BlockCommand(
        .read, block: run.block, count: UInt32(truncatingIfNeeded: run.count), frames: cache.run(from: first),
        tag: Tag(readFor: slot, first: run.first, count: run.count).raw))
  }

  /// A command of a slot's read has ended, with or without an error.
  func ended(_ tag: Tag, _ code: Int32) {
    let slot = tag.slot
    assert(reads[slot].pending > 0)
    reads[slot].pending -= 1
    if code != 0 {
      if reads[slot].code == 0 { reads[slot].code = code }
      count(bad: tag.first, of: tag, slot)
    } else {
      for block in tag.first..<tag.first + tag.count
      where volume.checksum.of(slots.page(slot, block)) != checksums[slot * Self.maximumBlocks + block] {
        reads[slot].hasMismatch = true
        count(bad: block, of: tag, slot)
      }
    }
    if reads[slot].pending == 0 { end(slot) }
  }

  /// Records that a block of a command did not match, or could not be read.
  private func count(bad block: Int, of tag: Tag, _ slot: Int) {
    guard block < reads[slot].badBlock else { return }
    reads[slot].badBlock = block
    reads[slot].badAddress = addresses[slot * Self.maximumBlocks + tag.first] + UInt64(block - tag.first)
  }

  /// All commands of a slot's read have ended. If a block does not match, the cleaner may have moved it while
  /// it was read: the request is run once more before this counts as damage.
  private func end(_ slot: Int) {
    if reads[slot].code == 0, reads[slot].hasMismatch, !reads[slot].isSecondTry {
      reads[slot] = State(isSecondTry: true)
      return waiting.runAgain(slot)
    }
    waiting.endSuspension(slot)
    if reads[slot].hasMismatch { loader.countMismatch() }
    guard reads[slot].code != 0 || reads[slot].hasMismatch else { return slots.finish(slot) }
    recordFailure(slot)
    slots.finish(slot, failed: EIO)
  }

  /// Reports that a file's blocks could not be read.
  private func recordFailure(_ slot: Int) {
    let code = reads[slot].code
    let request = slots.requests[slot]
    let inode = NodeID(raw: request.node).number
    // A read that failed before any command is reported by its first block.
    let bad = reads[slot].badBlock == .max ? 0 : UInt64(reads[slot].badBlock)
    let block = request.offset / UInt64(Page.size) &+ bad
    let place = "inode \(inode) at byte \(block &* UInt64(Page.size))"
    errors.record(
      code == 0 ? .checksum : .read,
      code == 0 ? "checksum error in \(place)" : "\(place) cannot be read\(ErrnoText.inBrackets(code))",
      block: reads[slot].badAddress, inode: inode, code: code, place: NodeKey(.data, inode).raw ^ block << 24)
  }
}
