/// How serving came to its end.
public enum Ending: Sendable, Equatable {
  /// The kernel closed the channel: somebody unmounted.
  case unmounted
  /// `Reactor.stop` was called.
  case stopped
  /// The service could not write everything; the text says why.
  case failed(String)
}
