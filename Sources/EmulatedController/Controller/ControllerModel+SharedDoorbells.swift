import CMachine
import NVMeSpec

/// Doorbells in memory shared with the host. The controller polls them, since a store causes no call.
struct SharedDoorbells {
  /// The first doorbell.
  private let base: UnsafeMutableRawPointer
  private let size: Int
  private let shift: Int
  /// The value of each doorbell at the last poll.
  private let seen: UnsafeMutablePointer<UInt32>
  private let count: Int

  /// - Parameters:
  ///   - base: where doorbell 0 lies; `size` bytes from there hold all of them.
  ///   - shift: doorbells are `1 << shift` bytes apart.
  init(base: UnsafeMutableRawPointer, size: Int, shift: Int) {
    self.base = base
    self.size = size
    self.shift = shift
    count = size >> shift
    seen = .allocate(capacity: max(count, 1))
    seen.initialize(repeating: 0, count: max(count, 1))
    clear()
  }

  /// To be called at the end: copies of the value share what it frees.
  func deallocate() { seen.deallocate() }

  /// All doorbells become 0, as a reset leaves them.
  func clear() { for index in 0..<count { clear(index) } }

  /// The doorbell of a queue that is made becomes 0.
  func clear(_ queue: Int, isCompletion: Bool) { clear(queue * 2 + (isCompletion ? 1 : 0)) }

  private func clear(_ index: Int) {
    guard index < count else { return }
    seen[index] = 0
    cm_store32(base + index << shift, 0)
  }

  /// The value of doorbell `index`, when it has changed since the last poll.
  @inline(__always)
  func take(_ index: Int) -> UInt32? {
    guard index < count else { return nil }
    let value = cm_load32(base + index << shift)
    guard value != seen[index] else { return nil }
    seen[index] = value
    return value
  }
}

extension ControllerModel {
  /// Polls the shared doorbells of every queue and handles those that have changed.
  /// - Returns: whether any had changed.
  mutating func pollDoorbells() -> Bool {
    guard isRunning, let shared = sharedDoorbells else { return false }
    var found = false
    for queue in 0..<queues.limit {
      // Completion queue heads come first, as the host has consumed entries before it submitted more: so no
      // completion queue looks full when it is not.
      if let head = shared.take(queue * 2 + 1) {
        found = true
        ring(Register.doorbells + (queue * 2 + 1) << doorbellShift, head)
      }
      if let tail = shared.take(queue * 2) {
        found = true
        cm_acquire_fence()
        ring(Register.doorbells + (queue * 2) << doorbellShift, tail)
      }
    }
    // With shadow doorbells the host stores to the doorbell only now and then, perhaps the same value as
    // before.
    if shadows != nil, followShadows() {
      found = true
      if queues.interruptsDue { raiseInterrupts() }
    }
    return found
  }
}
