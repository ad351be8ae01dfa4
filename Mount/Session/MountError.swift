/// Why a mount failed, and the remedy.
public struct MountError: Error, CustomStringConvertible, Sendable {
  /// What failed, in one line, naming the mount point or option.
  public let problem: String
  /// The command or action that fixes it; empty where there is none.
  public let remedy: String

  public init(_ problem: String, remedy: String = "") {
    self.problem = problem
    self.remedy = remedy
  }

  public var description: String { remedy.isEmpty ? problem : "\(problem); \(remedy)" }
}
