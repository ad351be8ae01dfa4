/// Why a process could not be confined.
public struct ConfinementError: Error, CustomStringConvertible {
  public let description: String

  init(_ description: String) { self.description = description }
}
