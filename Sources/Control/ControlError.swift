/// Why a daemon could not be asked, or could not answer, in one line with its remedy.
public struct ControlError: Error, CustomStringConvertible, Sendable {
  public let description: String

  public init(_ description: String) { self.description = description }
}
