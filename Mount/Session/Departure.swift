import Glibc
import Reactor

/// The way out when the daemon itself ends a mount: it is taken from the tree while requests are still answered, then
/// the reactor writes everything and ends.
public final class Departure {
  private let reactor: Reactor
  private let session: MountSession
  private var unmounter: Unmounter?

  public init(_ reactor: Reactor, _ session: MountSession) {
    self.reactor = reactor
    self.session = session
  }

  /// Begins to unmount; a second call changes nothing.
  public func begin() {
    guard unmounter == nil else { return }
    guard let point = session.mountPoint else {
      reactor.stop()
      return
    }
    unmount(Unmounter(point)) { [reactor] in reactor.stop() }
  }

  /// After serving: closes the connection, and takes away what is still mounted, as when the service failed.
  /// - Parameter whenDone: called once that is done, at once or as the loop turns.
  public func end(_ whenDone: @escaping () -> Void) {
    let isDestroyed = session.isDestroyed
    session.close()
    // Another may be mounted there by now, over the same device.
    guard !isDestroyed, let point = session.mountPoint, point.isStillMounted else { return whenDone() }
    unmount(Unmounter(point, detaches: true), whenDone)
  }

  private func unmount(_ unmounter: Unmounter, _ whenDone: @escaping () -> Void) {
    self.unmounter = unmounter
    reactor.loop.watch(unmounter.descriptor) { [loop = reactor.loop] in
      loop.unwatch(unmounter.descriptor)
      whenDone()
    }
  }
}
