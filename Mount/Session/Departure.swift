import Glibc
import Reactor

/// The way out when the daemon itself ends a mount: the helper takes it from the tree while requests are
/// still answered, then the reactor writes everything and ends. The kernel asks for writes and forgets
/// meanwhile, and may ask for the way to the mount point in another mount of the same daemon.
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

  /// Begins to unmount; a second call changes nothing.
  public func begin() {
    guard !hasBegun else { return }
    hasBegun = true
    guard let point = session.mountPoint else {
      reactor.stop()
      return
    }
    helper.unmount(point, detaches: false) { [reactor] _ in reactor.stop() }
  }

  /// After serving: closes the connection, and takes away what is still mounted, as when the service failed.
  /// - Parameter whenDone: called once that is done, at once or as the loop turns.
  public func end(_ whenDone: @escaping () -> Void) {
    let isDestroyed = session.isDestroyed
    session.close()
    // Another may be mounted there by now, over the same device.
    guard !isDestroyed, let point = session.mountPoint, point.isStillMounted else { return whenDone() }
    helper.unmount(point, detaches: true) { _ in whenDone() }
  }
}
