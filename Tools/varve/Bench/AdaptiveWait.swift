import Block
import CMachine
import Glibc
import Reactor

/// Waits for completions as the daemon's reactor does: while pauses are short it polls, and when nothing has come for a
/// while it sleeps until the device's interrupt.
struct AdaptiveWait {
  private static let millisecond: UInt64 = 1_000_000

  private var polling = AdaptivePolling()
  /// How often the thread slept.
  private(set) var sleeps = 0

  /// Lets time pass, awake or asleep; to be called after a poll that found nothing.
  mutating func wait(for device: NamespaceDevice) {
    let now = cm_monotonic_ns()
    if polling.shouldPoll(at: now) { return cm_pause() }
    guard device.prepareToSleep() else { return }
    let deadline = device.nextDeadline
    guard deadline > now, let descriptor = device.interruptDescriptor else { return }
    sleeps += 1
    let left = min((deadline - now + Self.millisecond - 1) / Self.millisecond, 1_000)
    var watched = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    poll(&watched, 1, Int32(left))
  }

  /// Completions have come.
  mutating func end(at now: UInt64) { polling.end(at: now) }
}
