/// A process could not give up what it does not need.
public struct ConfinementError: Error, CustomStringConvertible {
  public let description: String

  init(_ description: String) { self.description = description }
}
