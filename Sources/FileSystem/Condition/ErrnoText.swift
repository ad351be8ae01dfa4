import CMachine

/// Error numbers in words, as the block layer of Linux has them. What the device itself said is not known here:
/// see `BlockDevice.lastFailure`.
enum ErrnoText {
  /// What an error number means.
  static func of(_ code: Int32) -> String { String(cString: cm_block_error(code)) }
  /// The reason in brackets, behind what failed; nothing where there is none.
  static func inBrackets(_ code: Int32) -> String { code == 0 ? "" : " (\(of(code)))" }
}
