import Block
import BlockProtocol
import CMachine
import Checker
import Control
import Device
import Format
import Glibc
import ToolSupport

/// One run of fsck: from the device's name to what came of it.
struct Inspection {
  /// What came of a run.
  struct Result {
    var status = ExitStatus.clean
    /// Why the check ended early; nil when it did not.
    var problem: String?
    /// Whether the log was replayed, on the device or in memory.
    var wasReplayed = false
    /// Whether the filesystem was taken as clean without a look at it.
    var wasSkipped = false
    var outcome: RepairOutcome?
    /// What went wrong since the last check in full, before this one.
    var recordedErrors = ErrorRecord()

    fileprivate static func failure(_ problem: String, _ status: ExitStatus = .operational) -> Result {
      Result(status: status, problem: problem)
    }
  }

  let device: String
  let consent: Consent
  let isForced: Bool
  let skipsData: Bool
  let dropsLog: Bool
  let dropsTables: Bool
  let takesLastSuperblock: Bool
  let console: Console

  /// Frames of the device's arena: how many blocks are read at once.
  private static let arenaFrames = 256

  /// Opens the device, replays its log, checks and mends.
  func run() -> Result {
    let block: any BlockDevice
    do throws(DeviceError) {
      try Daemons.requireNone(on: device)
      block = try DeviceLocator.open(device, arenaFrames: Self.arenaFrames) { console.say($0) }
    } catch {
      return .failure("\(error)")
    }
    defer { block.close() }
    if block.isWriteProtected, consent.mayWrite {
      return .failure("\(device) is write protected; check it with -n")
    }
    let blocks = DeviceBlocks(block)
    let retried = RetriedBlocks(blocks)
    let result = inspect(retried, blocks, block)
    if blocks.isGone {
      return .failure("\(device) went away while it was examined: nothing can be said of it")
    }
    if retried.hasStopped {
      return .failure(
        "\(device) reads nothing any more, not even what it read before, so nothing is said of it and nothing was given up; run fsck.varve again when it does"
      )
    }
    // What passes is no reason to give anything up.
    if let failure = blocks.firstWriteFailure, [ENOSPC, EROFS].contains(failure.errno) {
      return .failure("\(device) cannot be written (\(failure)); mend that, and run it again")
    }
    return result
  }

  private func inspect(_ retried: RetriedBlocks, _ blocks: DeviceBlocks, _ block: any BlockDevice) -> Result {
    let image: any BlockWriter = consent.mayWrite ? retried : Overlay(over: retried)
    do throws(ImageError) {
      if takesLastSuperblock { try restoreSuperblock(image) }
      let isNeeded = try Recovery.isNeeded(image)
      let superblock = try Image(image).superblock
      let errors = RecordedErrors.read(image, superblock)
      if !isNeeded, errors.isEmpty, consent == .safe, !isForced { return Result(wasSkipped: true) }
      if !errors.isEmpty {
        console.say(
          "\(errors.total) errors since the last full check: \(errors.lines.joined(separator: "; "))")
      }
      var log = LogState.clean
      if isNeeded || lacksSegments(image) { log = try replay(image) }
      var result = try check(
        image, log, readsData: !skipsData && (consent != .safe || isForced || !errors.isEmpty))
      result.recordedErrors = errors
      if !errors.isEmpty { forget(image, superblock, result) }
      return result
    } catch .noCheckpoint {
      guard let failure = blocks.firstFailure else {
        return .failure("\(device): \(ImageError.noCheckpoint)", .uncorrected)
      }
      return .failure("\(device) cannot be examined: \(failure)")
    } catch {
      return .failure("\(device): \(error)\(explanation(of: error, blocks, block))")
    }
  }

  /// The record of errors begins anew once all was looked at, and is right.
  private func forget(_ image: any BlockWriter, _ superblock: Superblock, _ result: Result) {
    let isRight = result.status == .clean || result.status == .corrected
    guard isRight, consent.mayWrite, !skipsData else { return }
    do throws(BlockFailure) {
      try RecordedErrors.write(ErrorRecord(), image, superblock)
    } catch { console.say("the record of errors cannot be written (\(error))") }
  }

  /// What is on a device instead of a filesystem of ours, or what kept it from being looked at.
  private func explanation(of error: ImageError, _ blocks: DeviceBlocks, _ block: any BlockDevice) -> String {
    switch error {
    case .format(.notVarve), .format(.damagedSuperblock), .format(.lastSuperblockOnly(isFirstReadable: true)):
      Signature.describe(block)
    default: blocks.firstFailure.map { " (\($0))" } ?? ""
    }
  }

  /// Puts the copy of the superblock in the last block into the first, where there is none.
  private func restoreSuperblock(_ image: any BlockWriter) throws(ImageError) {
    do throws(ImageError) { _ = try Image(image) } catch .format(.lastSuperblockOnly(let isFirstReadable)) {
      let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: Page.size, alignment: 16)
      defer { memory.deallocate() }
      guard let base = memory.baseAddress, image.readBlock(image.blockCount - 1, into: base),
        (try? image.write(UnsafeRawBufferPointer(memory), at: 0)) != nil, (try? image.flush()) != nil
      else { throw .format(.lastSuperblockOnly(isFirstReadable: isFirstReadable)) }
      console.say("the copy of the superblock in the last block is taken, as --last-superblock asks")
    } catch .noCheckpoint {
      return
    }
  }

  // MARK: The log

  private enum LogState {
    case clean
    case replayed
    /// It could not be replayed, and stays.
    case stuck(RecoveryError)
    /// It was replayed up to where it is damaged, and the rest is given up.
    case cut
    /// It could not be replayed, and is given up.
    case dropped
  }

  /// Replays the log in memory first: one that cannot be replayed changes nothing on the device.
  private func replay(_ image: any BlockWriter) throws(ImageError) -> LogState {
    var last = UInt64.max
    var reuses = false
    while consent.mayWrite || dropsLog, let obstacle = rehearse(image, through: last, reusing: reuses) {
      if obstacle.lacksSegments, !reuses, consent == .all {
        console.say("no segment is free; those that the newest checkpoint leaves empty are used")
        reuses = true
        continue
      }
      guard dropsLog else { return .stuck(obstacle) }
      guard let end = obstacle.replayableThrough, end < last else { return .dropped }
      last = end
    }
    do throws(RecoveryError) {
      let notices = try Recovery.replay(
        image, time: cm_realtime_ns(), through: last, reusesEmptySegments: reuses)
      for notice in notices { console.say(notice) }
    } catch { return .stuck(error) }
    guard last == .max else {
      console.say("the log was replayed up to its damage; the rest is given up, as --drop-log asks")
      return .cut
    }
    console.say(consent.mayWrite ? "the log was replayed" : "the log was replayed in memory only")
    return .replayed
  }

  /// - Returns: why the log cannot be replayed up to that log write, nil when it can.
  private func rehearse(_ image: any BlockWriter, through last: UInt64, reusing: Bool) -> RecoveryError? {
    do throws(RecoveryError) {
      _ = try Recovery.replay(
        Overlay(over: image), time: cm_realtime_ns(), through: last, reusesEmptySegments: reusing)
      return nil
    } catch { return error }
  }

  /// Whether a mount, which writes at once, would find no free segment.
  private func lacksSegments(_ image: any BlockWriter) -> Bool {
    rehearse(image, through: .max, reusing: false)?.lacksSegments ?? false
  }

  // MARK: Check and repair

  private func check(
    _ image: any BlockWriter, _ log: LogState, readsData: Bool
  ) throws(ImageError) -> Result {
    var options = CheckOptions()
    options.readsData = readsData
    options.dropsTables = dropsTables
    options.progress = console.progress
    var result = Result()
    let givesUp =
      switch log {
      case .cut, .dropped: true
      case .clean, .replayed, .stuck: false
      }
    switch log {
    case .clean: break
    case .replayed, .cut: result.wasReplayed = true
    case .dropped:
      console.say("what came after the last checkpoint is given up, as --drop-log asks")
      do { try Checker.dropLog(image, time: cm_realtime_ns()) } catch {
        return .failure("\(error)", .uncorrected)
      }
    case .stuck(let reason): return try checkBeneath(image, reason, options)
    }
    let questions = Questions()
    let outcome = try Checker.repair(image, options: options, time: cm_realtime_ns()) { finding in
      switch consent {
      case .none: false
      case .safe: finding.isSafe
      case .all: true
      case .ask: questions.ask(finding)
      }
    }
    result.outcome = outcome
    if outcome.before.isClean {
      result.status = givesUp ? .corrected : .clean
    } else {
      result.status = outcome.after.isClean ? .corrected : .uncorrected
    }
    return result
  }

  /// The log cannot be replayed. Damage beneath it may be the reason: what is safe to mend without touching the log is
  /// mended, and then it is tried once more.
  private func checkBeneath(_ image: any BlockWriter, _ reason: RecoveryError, _ options: CheckOptions)
    throws(ImageError) -> Result
  {
    let remedy = reason.lacksSegments ? "" : "; to give the log up: fsck.varve --drop-log -y \(device)"
    var result = Result(status: .uncorrected, problem: "\(reason)\(remedy)")
    guard consent.mayWrite else {
      let report = try Checker.check(image, options: options)
      result.outcome = RepairOutcome(report)
      return result
    }
    let mended = try Checker.repairBeneathLog(image, options: options, time: cm_realtime_ns())
    result.outcome = mended
    guard mended.repaired > 0 else { return result }
    if case .stuck = try replay(image) { return result }
    var again = try check(image, .replayed, readsData: options.readsData)
    if again.status == .clean { again.status = .corrected }
    return again
  }
}
