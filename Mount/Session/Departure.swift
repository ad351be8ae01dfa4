import Glibc
import Reactor

/// The end of a mount on the daemon's own initiative: the helper unmounts it while requests are still
/// answered, then the reactor writes everything and ends. The kernel sends writes and forgets meanwhile, and
/// lookups of the mount point's path, which may be in another mount of the same daemon.
public final class Departure {
  private let reactor: Reactor
  private let session: MountSession
  private let helper: Helper
  private var hasBegun = false

  public init(_ reactor: Reactor, _ session: MountSession, _ helper: Helper) {
    self.reactor = reactor
    self.session = session
    self.helper = helper
  }

  /// Begins to unmount; a second call does nothing.
  public func begin() {
    guard !hasBegun else { return }
    hasBegun = true
    guard let point = session.mountPoint else {
      reactor.stop()
      return
    }
    helper.unmount(point, detaches: false) { [reactor] _ in reactor.stop() }
  }

  /// After serving: closes the connection, and unmounts what is still mounted, as when the service failed.
  /// - Parameter whenDone: called once that is done, at once or later from the loop.
  public func end(_ whenDone: @escaping () -> Void) {
    let isDestroyed = session.isDestroyed
    session.close()
    // Another mount of the same device may be there by now.
    guard !isDestroyed, let point = session.mountPoint, point.isStillMounted else { return whenDone() }
    helper.unmount(point, detaches: true) { _ in whenDone() }
  }
}
