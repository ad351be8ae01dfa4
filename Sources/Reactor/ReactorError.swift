/// Why the reactor could not start or continue, and the remedy.
public struct ReactorError: Error, CustomStringConvertible, Sendable {
  /// What failed, in one line.
  public let problem: String
  /// The action that fixes it; empty where there is none.
  public let remedy: String
  /// The system's error number, 0 when there was none.
  public let errno: Int32

  public init(_ problem: String, remedy: String = "", errno: Int32 = 0) {
    self.problem = problem
    self.remedy = remedy
    self.errno = errno
  }

  public var description: String { remedy.isEmpty ? problem : "\(problem); \(remedy)" }
}
