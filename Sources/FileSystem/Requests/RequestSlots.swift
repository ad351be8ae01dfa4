import FileProtocol
import Format

/// The slots: each has a request under way and its reply.
///
/// Owns the replies until they are finished, and which slots are kept after that because they lend frames. A
/// slot's states:
///
///     begin ─▶ under way ─finish─▶ returned to the reactor
///                    └────finish─▶ kept, while its frames are lent to the cache ─releaseRepaid─▶ returned
///
/// A slot is returned once: when it is finished and lends no frame. A write that runs again may get all its
/// frames back and lend others: the cache then lists a slot as repaid that lends again, so `releaseRepaid`
/// checks both.
final class RequestSlots {
  let requests: UnsafeMutablePointer<Request>
  let replies: UnsafeMutablePointer<Reply>
  private let cache: Cache
  private let waiting: Waiting
  private let effects: Effects
  private let trace: EventTrace
  /// Whether a slot is kept: its reply is finished, and its frames are still lent.
  private var isKept: [Bool]
  /// Requests begun since the mount.
  private(set) var count: UInt64 = 0

  init(cache: Cache, waiting: Waiting, effects: Effects) {
    self.cache = cache
    self.waiting = waiting
    self.effects = effects
    trace = effects.trace
    let slots = cache.memory.slots
    requests = .allocate(capacity: slots)
    requests.initialize(repeating: Request(), count: slots)
    replies = .allocate(capacity: slots)
    replies.initialize(repeating: Reply(), count: slots)
    isKept = Array(repeating: false, count: slots)
  }

  deinit {
    requests.deinitialize(count: isKept.count)
    requests.deallocate()
    replies.deinitialize(count: isKept.count)
    replies.deallocate()
  }

  /// A request has arrived in a slot.
  @inline(__always)
  func begin(_ slot: Int) {
    isKept[slot] = false
    replies[slot] = Reply()
    count += 1
    if trace.isOn { traceRequest(slot) }
  }

  @inline(never)
  private func traceRequest(_ slot: Int) {
    var event = TracedEvent(.request, detail: requests[slot].operation.rawValue)
    event.place = requests[slot].node
    event.offset = requests[slot].offset
    event.count = UInt32(clamping: requests[slot].length)
    trace.record(event, of: UInt16(truncatingIfNeeded: slot))
  }

  @inline(never)
  private func traceAnswer(_ slot: Int) {
    var event = TracedEvent(.finish)
    event.code = replies[slot].error
    trace.record(event, of: UInt16(truncatingIfNeeded: slot))
  }

  /// A page of the slot's data area.
  @inline(__always)
  func page(_ slot: Int, _ index: Int) -> Page {
    cache.page(requests[slot].firstFrame + FrameIndex(truncatingIfNeeded: index))
  }

  /// The reply in the slot is complete.
  func finish(_ slot: Int) {
    waiting.endDirectoryMove(slot)
    isKept[slot] = cache.lentFrames(of: slot) > 0
    replies[slot].keepsSlot = isKept[slot]
    effects.finished.append(UInt32(truncatingIfNeeded: slot))
    if trace.isOn { traceAnswer(slot) }
  }

  /// The request in the slot has failed.
  func finish(_ slot: Int, failed code: Int32) {
    replies[slot].error = code
    finish(slot)
  }

  /// Returns kept slots to the reactor once they have got all their frames back.
  func releaseRepaid() {
    while let slot = cache.takeRepaidSlot() {
      // A slot whose write was run again may lend other frames by now.
      guard isKept[slot], cache.lentFrames(of: slot) == 0 else { continue }
      isKept[slot] = false
      effects.released.append(UInt32(truncatingIfNeeded: slot))
    }
  }

  func checkInvariants(_ invariants: inout Invariants) {
    for slot in isKept.indices where isKept[slot] {
      invariants.expect(
        cache.lentFrames(of: slot) > 0 || cache.hasRepaidSlots, "slot \(slot) is kept and lends nothing")
    }
  }
}
