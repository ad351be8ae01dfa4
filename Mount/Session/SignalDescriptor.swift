import CMachine
import Glibc

/// SIGTERM, SIGINT and SIGHUP as something to be read, instead of interrupting.
///
/// To be made before the process has a second thread, so that every thread leaves the signals alone.
public final class SignalDescriptor {
  /// Readable when a signal has come.
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

  /// Takes the signal that has come; nil when none has.
  public func take() -> Int32? {
    var info = signalfd_siginfo()
    guard read(descriptor, &info, MemoryLayout<signalfd_siginfo>.size) == MemoryLayout<signalfd_siginfo>.size
    else { return nil }
    return Int32(bitPattern: info.ssi_signo)
  }
}
