import Block
import CMachine
import Glibc

/// Waits for completions as the daemon's reactor does: while pauses are short it polls, and when nothing has come for a
/// while it sleeps until the device's interrupt.
struct AdaptiveWait {
  /// How long to poll before sleeping (ns): the reactor's default.
  private static let spin: UInt64 = 30_000
  private static let millisecond: UInt64 = 1_000_000

  private var idleSince: UInt64 = 0
  private var lastPause: UInt64 = 0
  /// How often the thread slept.
  private(set) var sleeps = 0

  /// Lets time pass, awake or asleep; to be called after a poll that found nothing.
  mutating func wait(for device: NamespaceDevice) {
    let now = cm_monotonic_ns()
    if idleSince == 0 { idleSince = now }
    if lastPause < 2 * Self.spin, now &- idleSince < Self.spin { return cm_pause() }
    guard device.prepareToSleep() else { return }
    let deadline = device.nextDeadline
    guard deadline > now, let descriptor = device.interruptDescriptor else { return }
    sleeps += 1
    let left = min((deadline - now + Self.millisecond - 1) / Self.millisecond, 1_000)
    var watched = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    poll(&watched, 1, Int32(left))
  }

  /// Completions have come.
  mutating func end(at now: UInt64) {
    guard idleSince != 0 else { return }
    lastPause = now &- idleSince
    idleSince = 0
  }
}
