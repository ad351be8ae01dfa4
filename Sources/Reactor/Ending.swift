/// How serving has ended.
public enum Ending: Sendable, Equatable {
  /// The kernel closed the channel: the filesystem was unmounted.
  case unmounted
  /// `Reactor.stop` was called.
  case stopped
  /// The service could not write everything, for the given reason.
  case failed(String)
}
