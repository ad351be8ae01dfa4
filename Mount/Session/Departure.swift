import Glibc
import Reactor

/// The way out on a signal: the mount is taken from the tree while requests are still answered, then the reactor
/// writes everything and ends.
public final class Departure {
  private let reactor: Reactor
  private let session: MountSession
  private let signals: SignalDescriptor
  private var unmounter: Unmounter?

  /// Watches for signals on the reactor's thread.
  public init(_ reactor: Reactor, _ session: MountSession, _ signals: SignalDescriptor) {
    self.reactor = reactor
    self.session = session
    self.signals = signals
    reactor.watch(signals.descriptor) { [unowned self] in
      while signals.take() != nil { begin() }
    }
  }

  /// Begins to unmount; a second call changes nothing.
  public func begin() {
    guard unmounter == nil else { return }
    guard let point = session.mountPoint else {
      reactor.stop()
      return
    }
    let unmounter = Unmounter(point)
    self.unmounter = unmounter
    reactor.watch(unmounter.descriptor) { [reactor] in
      var count: UInt64 = 0
      if read(unmounter.descriptor, &count, 8) == 8 { reactor.stop() }
    }
  }

  /// After `serve`: closes the connection, and takes away what is still mounted, as when the service failed.
  public func end() {
    session.close()
    if let point = session.mountPoint, point.isStillMounted { point.detach() }
  }
}
