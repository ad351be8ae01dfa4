import Format

/// The result of repairing a filesystem.
public struct RepairOutcome: Sendable {
  /// The report of the first check.
  public internal(set) var before: CheckReport
  /// The report of the last check, after the repairs. The same as `before` when nothing was changed.
  public internal(set) var after: CheckReport
  /// How many findings were repaired.
  public internal(set) var repaired = 0
  /// Paths that were removed because their inodes are lost.
  public internal(set) var lost: [String] = []
  /// Repairs that could not be carried out, and why.
  public internal(set) var failures: [String] = []

  /// A result without repairs.
  public init(_ report: CheckReport) {
    before = report
    after = report
  }
}

extension Repair {
  fileprivate var isOfTable: Bool { if case .retireTableBlock = self { true } else { false } }
  fileprivate var isOfDamagedDirectory: Bool { if case .salvageDirectory = self { true } else { false } }
}

extension Checker {
  /// Rounds of repairs, at most. One repair may lead to another finding: removed names to inodes without one,
  /// these to wrong counts.
  private static let maximumRounds = 8

  /// Checks a filesystem whose log has been replayed, and repairs the repairable findings that are chosen.
  ///
  /// Each round's repairs become durable together, or not at all.
  /// - Parameters:
  ///   - time: nanoseconds since 1970, for new inodes and checkpoints.
  ///   - choose: whether a finding is to be repaired; called once for each.
  public static func repair(
    _ image: any BlockWriter, options: CheckOptions = CheckOptions(), time: Int64,
    choose: (Finding) -> Bool
  ) throws(ImageError) -> RepairOutcome {
    let first = try run(image, options: options)
    var outcome = RepairOutcome(first.report)
    var latest = first
    var quick = options
    quick.readsData = false
    quick.onFinding = { _ in }
    var declined: Set<String> = []
    for _ in 0..<maximumRounds {
      let chosen = choices(latest.report.findings) { finding in
        guard finding.isRepairable, !declined.contains(finding.description) else { return false }
        if choose(finding) { return true }
        declined.insert(finding.description)
        return false
      }
      guard !chosen.isEmpty else { break }
      var names = LostNames(latest, image)
      let lost = names.paths(chosen)
      do throws(RepairError) {
        try mend(chosen, latest, image, time: time, &outcome)
      } catch {
        outcome.failures.append(error.description)
        break
      }
      outcome.lost += lost
      latest = try run(image, options: quick)
      if latest.report.findings.map(\.description) == outcome.after.findings.map(\.description) { break }
      outcome.after = latest.report
    }
    finish(&outcome, readsData: options.readsData)
    return outcome
  }

  /// The findings to be repaired next. Those on which others depend come first and alone: everything is found
  /// through tables, and an inode that seems to have no name may have one in a damaged directory.
  private static func choices(_ findings: [Finding], choose: (Finding) -> Bool) -> [Finding] {
    for isFirst in [\Repair.isOfTable, \Repair.isOfDamagedDirectory] {
      let chosen = findings.filter { $0.repairs.contains { $0[keyPath: isFirst] } && choose($0) }
      if !chosen.isEmpty { return chosen }
    }
    return findings.filter(choose)
  }

  /// Repairs what prevents a log from being replayed: superblocks, packs, usage table and counts, as of the
  /// last checkpoint. The log and the segments that it lies in stay as they are, to be replayed afterwards.
  public static func repairBeneathLog(
    _ image: any BlockWriter, options: CheckOptions = CheckOptions(), time: Int64
  ) throws(ImageError) -> RepairOutcome {
    let check = try run(image, options: options)
    var outcome = RepairOutcome(check.report)
    let chosen = check.report.findings.filter { finding in
      finding.isRepairable
        && finding.repairs.allSatisfy { $0 == .newCheckpoint || $0 == .rewriteSuperblocks }
    }
    guard !chosen.isEmpty else { return outcome }
    do throws(RepairError) {
      try mend(chosen, check, image, time: time, log: .kept(LogChain.segments(of: check)), &outcome)
    } catch {
      outcome.failures.append(error.description)
      return outcome
    }
    var quick = options
    quick.readsData = false
    outcome.after = try run(image, options: quick).report
    finish(&outcome, readsData: options.readsData)
    return outcome
  }

  /// Makes the last checkpoint the whole filesystem: the changes in the log are lost.
  /// - Throws: `RepairError` when the new checkpoint cannot be written; then nothing is changed.
  public static func dropLog(_ image: any BlockWriter, time: Int64) throws {
    var options = CheckOptions()
    options.readsData = false
    try Transaction(try run(image, options: options), writer: image, time: time).commit()
  }

  private static func mend(
    _ findings: [Finding], _ check: Check, _ image: any BlockWriter, time: Int64,
    log: Transaction.LogTreatment = .ended, _ outcome: inout RepairOutcome
  ) throws(RepairError) {
    var seen: Set<Repair> = []
    let repairs = findings.flatMap(\.repairs).filter { seen.insert($0).inserted }
    if repairs.contains(.rewriteSuperblocks) { try rewriteSuperblocks(check.superblock, image) }
    guard repairs != [.rewriteSuperblocks] else { return }
    let transaction = Transaction(check, writer: image, time: time, log: log)
    var repairer = Repairer(transaction)
    try repairer.apply(repairs)
    outcome.failures += repairer.failures
    try transaction.commit()
  }

  private static func rewriteSuperblocks(_ superblock: Superblock, _ image: any BlockWriter)
    throws(RepairError)
  {
    let buffer = PageBuffer()
    superblock.encode(into: buffer.page)
    let bytes = Array(buffer.page.bytes(at: 0, count: Page.size))
    for block in [superblock.geometry.blockCount - 1, 0] {
      try image.writeAll(bytes, at: block)
      try image.flushAll()
    }
  }

  /// Checks again after repairs. Data is not read again: blocks that the first check found damaged still are.
  private static func finish(_ outcome: inout RepairOutcome, readsData: Bool) {
    let kept = outcome.after.findings.contains { $0.kind == .data }
    if readsData, !kept {
      let damaged = outcome.before.findings.filter { $0.kind == .data }
      outcome.after.findings += damaged
      if !damaged.isEmpty { outcome.after.counts[.damage, default: 0] += damaged.count }
    }
    outcome.after.verifiedBlocks = outcome.before.verifiedBlocks
    outcome.repaired = max(0, outcome.before.errorCount - outcome.after.errorCount)
  }
}
