/// What a check reads, and how it reports progress and findings.
public struct CheckOptions {
  /// Whether the checksums of file data are verified, which reads every block in use.
  public var readsData = true
  /// Whether a table block that cannot be read may be given up, with everything that is found only through
  /// it.
  public var dropsTables = false
  /// Findings kept in the report; all are counted.
  public var findingLimit = 10_000
  /// Called now and then with the phase's name and how much of it is done (0...1).
  public var progress: (_ phase: String, _ done: Double) -> Void = { _, _ in }
  /// Called with each finding as it is made.
  public var onFinding: (Finding) -> Void = { _ in }

  public init() {}
}

/// What a check found.
public struct CheckReport: Sendable {
  /// In the order in which they were found, at most `CheckOptions.findingLimit`.
  public internal(set) var findings: [Finding] = []
  /// All findings by severity, those not kept included.
  public internal(set) var counts: [Finding.Severity: Int] = [:]
  public internal(set) var files: UInt64 = 0
  public internal(set) var directories: UInt64 = 0
  /// Inodes without a name that are about to be freed.
  public internal(set) var orphans: UInt64 = 0
  /// Blocks of data, nodes and tables.
  public internal(set) var liveBlocks: UInt64 = 0
  /// Blocks of file data whose checksum was verified.
  public internal(set) var verifiedBlocks: UInt64 = 0
  /// All blocks of segments.
  public internal(set) var totalBlocks: UInt64 = 0
  public internal(set) var freeSegments: UInt32 = 0

  public init() {}

  /// Whether there are no errors; notes are none.
  public var isClean: Bool { errorCount == 0 }
  /// Findings that are errors.
  public var errorCount: Int { counts[.inconsistency, default: 0] + counts[.damage, default: 0] }
}
