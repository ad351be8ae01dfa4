import CMachine
import MountSession

/// Makes a mount read-only from within its daemon.
///
/// The kernel does it, and has the daemon write meanwhile what was not written yet. So the helper asks the
/// kernel, again and again as long as files are open for writing.
final class ReadOnlyRemount {
  /// How often it is tried (ns).
  private static let interval: UInt64 = 10_000_000_000

  private enum State { case waiting(until: UInt64), trying, done, told }

  private let point: MountPoint
  private let helper: Helper
  private var state = State.waiting(until: 0)

  init(_ point: MountPoint, _ helper: Helper) {
    self.point = point
    self.helper = helper
  }

  /// Begins a try when it is time.
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
