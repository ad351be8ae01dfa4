import CMachine
import MountSession

/// Makes a mount read-only from within its daemon.
///
/// The kernel remounts, and sends the daemon the unwritten data meanwhile. So the helper calls the kernel,
/// and repeats it as long as files are open for writing.
final class ReadOnlyRemount {
  /// The interval between attempts (ns).
  private static let interval: UInt64 = 10_000_000_000

  private enum State { case waiting(until: UInt64), trying, done, told }

  private let point: MountPoint
  private let helper: Helper
  private var state = State.waiting(until: 0)

  init(_ point: MountPoint, _ helper: Helper) {
    self.point = point
    self.helper = helper
  }

  /// Begins an attempt when it is due.
  /// - Returns: whether the mount has become read-only since the last call.
  func advance() -> Bool {
    switch state {
    case .waiting(let time):
      if cm_monotonic_ns() >= time { attempt() }
      return false
    case .trying, .told: return false
    case .done:
      state = .told
      return true
    }
  }

  private func attempt() {
    state = .trying
    helper.becomeReadOnly(point) { [weak self] isDone in
      self?.state = isDone ? .done : .waiting(until: cm_monotonic_ns() + Self.interval)
    }
  }
}
