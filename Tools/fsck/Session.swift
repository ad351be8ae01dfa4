import CMachine
import Checker
import Glibc

/// One check, and what is said of it.
struct Session {
  private let label: String
  private let image: DeviceBlocks
  private let choice: Choice
  private let options: Fsck

  init(_ label: String, _ image: DeviceBlocks, _ choice: Choice, _ options: Fsck) {
    self.label = label
    self.image = image
    self.choice = choice
    self.options = options
  }

  /// - Returns: the exit status.
  func run() throws -> Int32 {
    let needsRecovery = try Recovery.isNeeded(image)
    if choice == .safe, !options.force, !needsRecovery {
      say("\(label): clean")
      return ExitStatus.clean
    }
    guard needsRecovery else { return try check(image, wasReplayed: false) }
    guard choice == .none else { return try replayAndCheck(image) }
    say("\(label): the log is replayed in memory")
    return try replayAndCheck(Overlay(over: image), isInMemory: true)
  }

  private func replayAndCheck(_ image: any BlockWriter, isInMemory: Bool = false) throws -> Int32 {
    do throws(RecoveryError) {
      for notice in try Recovery.replay(image, time: cm_realtime_ns()) where options.verbose {
        say("\(label): \(notice)")
      }
    } catch {
      // What cannot be replayed is checked as it is: the checkpoint may tell why.
      Message.complain("\(label): \(error)")
      let status = try check(image, wasReplayed: false)
      return max(status, ExitStatus.errorsLeft)
    }
    if !isInMemory { say("\(label): the log was replayed") }
    return try check(image, wasReplayed: !isInMemory)
  }

  private func check(_ image: any BlockWriter, wasReplayed: Bool) throws -> Int32 {
    var settings = CheckOptions()
    settings.onFinding = { finding in
      if finding.severity != .note || options.verbose { say("\(label): \(finding)") }
    }
    if options.progress { settings.progress = showProgress }
    guard choice != .none else {
      let report = try Checker.check(image, options: settings)
      summarize(report, repaired: 0, failures: [])
      return report.isClean ? ExitStatus.clean : ExitStatus.errorsLeft
    }
    let outcome = try Checker.repair(image, options: settings, time: cm_realtime_ns(), choose: isChosen)
    summarize(outcome.after, repaired: outcome.repaired, failures: outcome.failures)
    guard outcome.after.isClean, outcome.failures.isEmpty else { return ExitStatus.errorsLeft }
    return outcome.repaired > 0 ? ExitStatus.mended : ExitStatus.clean
  }

  private func isChosen(_ finding: Finding) -> Bool {
    switch choice {
    case .none: return false
    case .safe: return finding.isSafe
    case .all: return true
    case .ask:
      print("\(label): \(finding): mend? [y/N] ", terminator: "")
      fflush(nil)
      return readLine().map { $0.lowercased().hasPrefix("y") } ?? false
    }
  }

  private func summarize(_ report: CheckReport, repaired: Int, failures: [String]) {
    for failure in failures { Message.complain("\(label): \(failure)") }
    if options.json {
      print(
        """
        {"clean": \(report.isClean), "errors": \(report.errorCount), "repaired": \(repaired), "files": \(report.files), \
        "directories": \(report.directories), "orphans": \(report.orphans), "live_blocks": \(report.liveBlocks), \
        "total_blocks": \(report.totalBlocks), "verified_blocks": \(report.verifiedBlocks), \
        "free_segments": \(report.freeSegments)}
        """)
      return
    }
    let state = report.isClean ? "clean" : "\(report.errorCount) errors left"
    let mended = repaired > 0 ? ", \(repaired) mended" : ""
    print(
      "\(label): \(state)\(mended): \(report.files) files, \(report.directories) directories, "
        + "\(report.liveBlocks)/\(report.totalBlocks) blocks")
    if !report.isClean, choice == .none { print("\(label): run fsck.varve -y to mend what can be mended") }
  }

  /// A line on standard output, unless that is for JSON.
  private func say(_ text: String) {
    Message.write(text, to: options.json ? STDERR_FILENO : STDOUT_FILENO)
  }

  private func showProgress(_ phase: String, _ done: Double) {
    let bar = Array("\r\(phase): \(Int(done * 100))%  ".utf8)
    _ = Glibc.write(STDERR_FILENO, bar, bar.count)
  }
}
