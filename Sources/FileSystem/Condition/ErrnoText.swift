import CMachine

/// Error numbers in words, as the block layer of Linux has them. What the device itself said is not known
/// here: see `BlockDevice.lastFailure`.
enum ErrnoText {
  /// What an error number means.
  static func of(_ code: Int32) -> String { String(cString: cm_block_error(code)) }
  /// The error in brackets, to be appended to a message; empty for 0.
  static func inBrackets(_ code: Int32) -> String { code == 0 ? "" : " (\(of(code)))" }
}
