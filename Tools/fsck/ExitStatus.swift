/// fsck(8)'s exit statuses.
enum ExitStatus: Int32 {
  /// Nothing is wrong.
  case clean = 0
  /// What was wrong has been mended.
  case corrected = 1
  /// Something is still wrong.
  case uncorrected = 4
  /// The check could not be made.
  case operational = 8
  /// The command line makes no sense.
  case usage = 16
  /// The user interrupted it.
  case cancelled = 32
}
