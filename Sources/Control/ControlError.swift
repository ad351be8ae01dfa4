/// Why a request to a daemon failed, in one line with its remedy.
public struct ControlError: Error, CustomStringConvertible, Sendable {
  public let description: String
  /// Whether the daemon did not answer: it has ended, or hangs.
  public let isSilence: Bool

  public init(_ description: String, isSilence: Bool = false) {
    self.description = description
    self.isSilence = isSilence
  }
}
