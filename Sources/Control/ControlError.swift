/// Why a daemon could not be asked, or could not answer, in one line with its remedy.
public struct ControlError: Error, CustomStringConvertible, Sendable {
  public let description: String
  /// Whether the daemon said nothing: it has gone, or hangs.
  public let isSilence: Bool

  public init(_ description: String, isSilence: Bool = false) {
    self.description = description
    self.isSilence = isSilence
  }
}
