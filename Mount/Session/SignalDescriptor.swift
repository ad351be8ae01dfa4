import CMachine
import Glibc

/// SIGTERM, SIGINT and SIGHUP through a descriptor (signalfd(2)).
///
/// To be made while the process is single-threaded, so that every thread inherits the blocked signals.
public final class SignalDescriptor {
  /// Readable when a signal has arrived.
  public let descriptor: Int32

  public init() {
    var set = sigset_t()
    sigemptyset(&set)
    for signal in [SIGTERM, SIGINT, SIGHUP] { sigaddset(&set, signal) }
    pthread_sigmask(SIG_BLOCK, &set, nil)
    signal(SIGPIPE, SIG_IGN)
    descriptor = cm_signalfd(&set)
  }

  deinit { close(descriptor) }

  /// Takes the next signal; nil when there is none.
  public func take() -> Int32? {
    var info = signalfd_siginfo()
    guard read(descriptor, &info, MemoryLayout<signalfd_siginfo>.size) == MemoryLayout<signalfd_siginfo>.size
    else { return nil }
    return Int32(bitPattern: info.ssi_signo)
  }
}
