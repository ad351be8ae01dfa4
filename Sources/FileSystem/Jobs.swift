import Format

/// Long work, a step at a time, between the requests.
extension FileSystem {
  /// Steps done in one `advance` at most; each is short.
  private static let stepsPerAdvance = 4

  /// Does background work that is due.
  /// - Returns: when to be called again.
  func advanceJobs() -> UInt64 {
    if commitDeadline <= now.monotonic { startCommit(isDurable: true) }
    if isStopping { return advanceStop() }
    var isBusy = false
    for _ in 0..<Self.stepsPerAdvance {
      // A round that the event before has begun does not tell whether anything is left.
      isBusy = nextJob > 0
      while nextJob < Self.jobs.count {
        guard !isSpent else { return 0 }
        nextJob += 1
        if step(Self.jobs[nextJob - 1]) { isBusy = true }
      }
      nextJob = 0
      guard isBusy else { break }
    }
    if isBusy { return 0 }
    // What can no longer be written is never due.
    return isReadOnly ? .max : min(commitDeadline, checkpointDeadline)
  }

  /// Long work in the order in which it is done. The checkpoint is last: any of the others may find that only that helps.
  static let jobs: [Job] = [.commit, .reclaim, .cleaner, .naming, .checkpoint]

  private func step(_ job: Job) -> Bool {
    switch job {
    case .mount: return false
    case .commit: return commitStep()
    case .reclaim:
      let isBusy = reclaimStep()
      return freesStep() || isBusy
    case .cleaner: return cleanerStep()
    case .naming: return namingStep()
    case .checkpoint:
      let isBusy = releaseStep()
      return checkpointStep() || isBusy
    }
  }

  /// Frees numbers that operations gave up, unless a checkpoint is between its cut and its tables.
  private func freesStep() -> Bool {
    guard hasPendingFrees, !isReadOnly else { return false }
    switch checkpoint.phase {
    case .nodes, .tables: return false
    default:
      return attempt(.reclaim) { () throws(Stop) in
        try processFrees(inodeTable)
        try processFrees(internalTable)
        wakeStalled()
      }
    }
  }

  /// A job met an error that is not about room.
  func jobFailed(_ job: Job, _ code: Int32) {
    switch job {
    case .mount:
      failure = failure ?? "the filesystem is damaged (\(Code.text(code))); run fsck.varve"
      if mounting.phase == .apply, mounting.applyIndex < mounting.entries.count {
        replayableThrough = mounting.entries[mounting.applyIndex].header.sequence - 1
      }
    case .checkpoint, .commit: fail("the \(job) cannot go on: damage in the filesystem (\(Code.text(code)))")
    case .naming: endNaming(isKnown: false)
    case .cleaner, .reclaim:
      noteError(.checksum, "the \(job) met damage (\(Code.text(code))); run fsck.varve", code: code)
    }
    if job == .reclaim { reclaim.scanCookie = nil }
  }

  // MARK: The end

  /// Writes everything, and a checkpoint that says that nothing follows it.
  private func advanceStop() -> UInt64 {
    endAllNaming()
    writeErrorRecord()
    if isReadOnly {
      isStopped = isQuiet
      return .max
    }
    var isBusy = true
    var steps = 0
    while isBusy, steps < Self.stepsPerAdvance, !isSpent {
      isBusy = checkpointStep()
      if checkpoint.phase == .idle, !isBusy { isBusy = beginLastCheckpoint() }
      steps += 1
    }
    isStopped = isDrained
    return isBusy ? 0 : .max
  }

  private func beginLastCheckpoint() -> Bool {
    if checkpoint.isLast, checkpoint.durable + 1 == checkpoint.age, !isChanged { return false }
    checkpoint.isLast = true
    checkpoint.isWanted = true
    return true
  }

  /// Whether there is anything that the last checkpoint does not hold.
  var isChanged: Bool {
    dirtyNodeCount > 0 || dirtyPages > 0 || log.hasRecords || hasPendingFrees || log.blocksSinceCut > 0
  }

  private var isDrained: Bool {
    checkpoint.isLast && checkpoint.phase == .idle && !checkpoint.isWanted && isQuiet
  }

  /// Whether the device has nothing to do for us: its commands may use our memory.
  var isQuiet: Bool {
    log.writesInFlight == 0 && log.flushTarget == nil && checkpoint.writesInFlight == 0
      && checkpoint.discarding == 0 && cleaner.reads.isEmpty && !cleaner.isReadingHeader
      && loadWaiters.isEmpty && errors.frame == .none && mounting.pendingReads == 0
      && (0..<memory.slots).allSatisfy { slots[$0].pendingReads == 0 }
  }
}
