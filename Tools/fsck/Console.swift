import Checker
import Device
import Format
import Glibc
import JSONValue

/// What fsck says, and to whom: findings and the sum of it to standard output, everything else to standard error.
final class Console {
  private let device: String
  private let isQuiet: Bool
  private let isVerbose: Bool
  private let showsProgress: Bool
  private var shown = ""

  init(device: String, isQuiet: Bool, isVerbose: Bool, showsProgress: Bool) {
    self.device = device
    self.isQuiet = isQuiet
    self.isVerbose = isVerbose
    self.showsProgress = showsProgress
  }

  /// Writes lines to standard error.
  static func complain(_ text: String) {
    let line = Array("\(text.printable)\n".utf8)
    _ = write(STDERR_FILENO, line, line.count)
  }

  /// Says something about the device on standard error.
  func say(_ text: String) { Self.complain("fsck.varve: \(device): \(text)") }

  /// Shows a phase and how much of it is done (0...1), on one line of standard error.
  func progress(_ phase: String, _ done: Double) {
    let text = "\(phase) \(Int(min(max(done, 0), 1) * 100))%"
    guard showsProgress, text != shown else { return }
    shown = text
    let line = Array("\r\(text)\u{1b}[K".utf8)
    _ = write(STDERR_FILENO, line, line.count)
  }

  /// Says what came of the run.
  func finish(_ result: Inspection.Result, json: Bool) {
    if !shown.isEmpty { Self.complain("") }
    if let problem = result.problem { Self.complain("fsck.varve: \(named(problem))") }
    if json {
      print(Self.json(result, device: device))
    } else {
      report(result)
    }
  }

  /// An error that names the device already is not given its name again.
  private func named(_ problem: String) -> String {
    problem.contains(device) ? problem : "\(device): \(problem)"
  }

  private func report(_ result: Inspection.Result) {
    if result.wasSkipped { return show("\(device): clean") }
    guard let outcome = result.outcome else { return }
    let left = Set(outcome.after.findings.map(\.description))
    for finding in outcome.before.findings where finding.severity != .note || isVerbose {
      show("\(finding)\(Self.state(finding, isLeft: left.contains(finding.description)))")
    }
    let before = Set(outcome.before.findings.map(\.description))
    for finding in outcome.after.findings
    where finding.severity != .note && !before.contains(finding.description) {
      show("\(finding)\(Self.state(finding, isLeft: true))")
    }
    for path in outcome.lost { show("lost: \(path)") }
    for failure in outcome.failures { say(failure) }
    summarize(outcome)
  }

  private static func state(_ finding: Finding, isLeft: Bool) -> String {
    if finding.severity == .note { return "" }
    if !isLeft { return " -- mended" }
    return finding.isRepairable ? "" : " -- cannot be mended"
  }

  private func summarize(_ outcome: RepairOutcome) {
    let report = outcome.after
    let counts =
      "\(report.files) files, \(report.directories) directories, \(report.liveBlocks)/\(report.totalBlocks) blocks"
    let found = outcome.before.errorCount
    let errors = outcome.after.errorCount
    if found == 0 {
      show("\(device): clean, \(counts)")
    } else if errors == 0 {
      show("\(device): \(found) errors, all mended; \(counts)")
    } else {
      show("\(device): \(found) errors, \(errors) left; \(counts)")
    }
    guard isVerbose else { return }
    show(
      "\(report.verifiedBlocks) data blocks verified, \(report.orphans) inodes to be freed at the next mount")
    show("\(report.freeSegments) segments free")
  }

  /// Prints a line, made printable: names in a filesystem may be anything.
  private func show(_ text: String) { print(text.printable) }

  private static func json(_ result: Inspection.Result, device: String) -> JSON {
    let report = result.outcome?.after
    let left = Set(report?.findings.map(\.description) ?? [])
    let findings = (result.outcome?.before.findings ?? []).map { finding in
      JSON.object([
        ("kind", .text(finding.kind.rawValue)), ("severity", .text(finding.severity.rawValue)),
        ("place", .text("\(finding.place)")), ("detail", .text(finding.detail)),
        ("repairable", .bool(finding.isRepairable)), ("mended", .bool(!left.contains(finding.description))),
      ])
    }
    return .object([
      ("device", .text(device)), ("exit_status", .integer(result.status.rawValue)),
      ("clean", .bool(result.status == .clean || result.status == .corrected)),
      ("problem", .text(result.problem)), ("log_replayed", .bool(result.wasReplayed)),
      ("recorded_errors", .integer(result.recordedErrors.total)), ("skipped", .bool(result.wasSkipped)),
      ("errors", .integer(result.outcome?.before.errorCount ?? 0)),
      ("errors_left", .integer(report?.errorCount ?? 0)),
      ("repaired", .integer(result.outcome?.repaired ?? 0)), ("files", .integer(report?.files ?? 0)),
      ("directories", .integer(report?.directories ?? 0)), ("orphans", .integer(report?.orphans ?? 0)),
      ("live_blocks", .integer(report?.liveBlocks ?? 0)),
      ("total_blocks", .integer(report?.totalBlocks ?? 0)),
      ("free_segments", .integer(report?.freeSegments ?? 0)),
      ("lost", .array((result.outcome?.lost ?? []).map { .text($0) })),
      ("verified_blocks", .integer(report?.verifiedBlocks ?? 0)), ("findings", .array(findings)),
    ])
  }
}
