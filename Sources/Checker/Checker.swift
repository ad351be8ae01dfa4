import Format

/// Checks filesystems and repairs them.
public enum Checker {
  /// Checks a filesystem whose log has been replayed, without changing anything.
  /// - Throws: `ImageError` when the filesystem cannot be checked.
  public static func check(_ reader: any BlockReader, options: CheckOptions = CheckOptions())
    throws(ImageError) -> CheckReport
  {
    try run(reader, options: options).report
  }

  static func run(_ reader: any BlockReader, options: CheckOptions) throws(ImageError) -> Check {
    var early: [Finding] = []
    let image = try Image(reader) { early.append($0) }
    let check = Check(image, reader: reader, options: options)
    for finding in early { check.note(finding) }
    check.run()
    return check
  }
}
