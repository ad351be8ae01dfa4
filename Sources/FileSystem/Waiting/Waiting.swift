import FileProtocol

/// Scheduling: which requests and jobs wait for reads, which requests wait for room or for the next event,
/// and what the checkpoint job and the cleaner are asked to do.
///
/// Owns the lists of waiting requests, the waiters of each frame being read, which frames are pinned for
/// which waiter, the cursors, and the flags by which owners ask for a checkpoint, for free segments, or for
/// changes to be held back. A request that is to be run again is in exactly one of these states:
///
///     begin ─▶ runs ─▶ finished
///              │ ▲
///              │ │  `readers`     waits for reads            ─ `readEnded` ─▶ `runnable`
///              │ │  `stalled`     waits for room of any kind ─ `wakeStalled` ─▶ `runnable`
///              └─┘  `continuing`  has done its share         ─ `continueRequests` ─▶ `runnable`
///
/// It promises that every waiting request is run again: reads end; the end of each checkpoint, discard, log
/// write and freeing step wakes the requests that wait for room; and those that have done their share go on
/// in the next event.
final class Waiting {
  /// Frames that an operation may need for new nodes and pages; the largest write needs the most.
  static let framesPerOperation = 320
  /// Frames that requests leave free for jobs, so that a step of a commit or a checkpoint can always run.
  static let framesForJobs = 160
  /// Frames pinned for one request or job, at most. Together with `framesPerOperation`, `framesForJobs`,
  /// dirty pages and dirty nodes they fit the smallest cache: see `Space.nodeBudget`.
  static let pinsPerWaiter = 256
  /// Blocks that a walk reads at the same time, at most.
  static let readsAhead = 32

  /// The number of slots; waiters from this number on are jobs.
  let slots: Int
  private let cache: Cache
  private let event: Event
  private let condition: Condition
  private let trace: EventTrace
  /// One for each slot, then one for each job.
  private let waiters: UnsafeMutablePointer<Waiter>
  private let waiterCount: Int
  /// One for each slot, and one for jobs.
  private let cursors: UnsafeMutablePointer<Cursor>
  /// The waiters of each frame that is being read.
  private var readers: [FrameIndex: [Int]] = [:]
  /// The running request or job.
  private(set) var current = 0
  /// The one request that keeps its pins although too few frames are free for it to run.
  private var keeper: Int?
  /// Slots to be run in the current event, and the index of the first that has not run yet.
  private var runnable: [Int] = []
  private var nextRunnable = 0
  /// Slots that wait for room of any kind.
  private var stalled: [Int] = []
  /// Slots whose operation has done its share of work and goes on in the next `advance`.
  private var continuing: [Int] = []
  /// Requests that wait for room are to be run at the next `advance`.
  private(set) var needsWake = false
  /// The request that moves a directory: no other request may move one meanwhile.
  private(set) var directoryMover: Int?
  private var misses: PlannedMisses
  /// The current run has met a planned miss.
  private var metPlannedMiss = false
  /// How often and how long requests have waited for each reason; of waits that have ended.
  private var waits = WaitTimes()

  // MARK: Work that is asked for

  /// A checkpoint is to be made.
  private(set) var wantsCheckpoint = false
  /// Checkpoints are to be made until this one is durable.
  private(set) var checkpointTarget: UInt64 = 0
  /// A request waits for segments: the cleaner is to free some, at any cost.
  private(set) var wantsSegments = false
  /// A cut is about to be made: no request may make a change until then.
  private(set) var holdsChanges = false

  /// - Parameter missSeed: see `Options.missSeed`.
  init(cache: Cache, event: Event, condition: Condition, trace: EventTrace, missSeed: UInt64) {
    self.cache = cache
    self.event = event
    self.condition = condition
    self.trace = trace
    slots = cache.memory.slots
    waiterCount = slots + Job.allCases.count
    waiters = .allocate(capacity: waiterCount)
    waiters.initialize(repeating: Waiter(), count: waiterCount)
    cursors = .allocate(capacity: slots + 1)
    cursors.initialize(repeating: Cursor(), count: slots + 1)
    misses = PlannedMisses(random: missSeed)
  }

  deinit {
    waiters.deinitialize(count: waiterCount)
    waiters.deallocate()
    cursors.deallocate()
  }

  // MARK: Runs

  /// Whether a request runs, not a job.
  var isRequest: Bool { current < slots }

  /// The cursor of the running request. All jobs share one, and none relies on it.
  @inline(__always)
  var cursor: Cursor {
    unsafeAddress { UnsafePointer(cursors + min(current, slots)) }
    unsafeMutableAddress { cursors + min(current, slots) }
  }

  /// A request has arrived in a slot.
  @inline(__always)
  func begin(_ slot: Int) {
    cursors[slot] = Cursor()
    waiters[slot].since = 0
  }

  /// A request or job begins to run.
  @inline(__always)
  func enter(_ waiter: Int) {
    current = waiter
    trace.actor = UInt16(truncatingIfNeeded: waiter)
    metPlannedMiss = false
    if waiters[waiter].since != 0 { endWait(waiter) }
  }

  /// The waiter of a job.
  func waiter(of job: Job) -> Int { slots + job.rawValue }

  /// The actor of a job's events.
  func actor(of job: Job) -> UInt16 { UInt16(truncatingIfNeeded: waiter(of: job)) }

  /// Runs a step of a job as the current waiter.
  /// - Returns: how it ended.
  func attempt(_ job: Job, _ step: () throws(Stop) -> Void) -> Attempt {
    let waiter = waiter(of: job)
    guard waiters[waiter].missing == 0 else { return .waits }
    enter(waiter)
    do throws(Stop) {
      guard cache.reserve(job == .mount ? Self.framesPerOperation : Self.framesForJobs) else {
        letGo()
        throw .again(.memory)
      }
      planMiss()
      try step()
      unpin(waiter)
      return .done
    } catch {
      guard case .fail(let code) = error else { return .waits }
      unpin(waiter)
      return .failed(code)
    }
  }

  /// How a step of a job ended.
  enum Attempt: Equatable {
    /// It ran to its end.
    case done
    /// It waits for reads or for room.
    case waits
    /// It failed with this errno.
    case failed(Int32)
  }

  /// Whether a job waits for reads.
  func isWaiting(_ job: Job) -> Bool { waiters[waiter(of: job)].missing > 0 }

  /// Whether the running request or job has begun reads in this run.
  var isMissing: Bool { waiters[current].missing > 0 }

  /// The request in a slot has to wait.
  func suspend(_ slot: Int, _ reason: WaitReason) {
    waiters[slot].reason = waiters[slot].missing > 0 ? .read : reason
    beginWait(slot)
    guard waiters[slot].missing == 0 else { return }
    if reason == .share || metPlannedMiss { continuing.append(slot) } else { stalled.append(slot) }
  }

  /// The request in a slot waits for something that will finish it: it is not run again. `endSuspension`
  /// follows.
  func suspendUntilFinished(_ slot: Int, _ reason: WaitReason) {
    waiters[slot].reason = reason
    beginWait(slot)
  }

  /// What the request in a slot waited for has come: it is about to be finished.
  func endSuspension(_ slot: Int) { if waiters[slot].since != 0 { endWait(slot) } }

  private func beginWait(_ slot: Int) {
    waiters[slot].since = max(event.now.monotonic, 1)
    if trace.isOn {
      trace.record(
        TracedEvent(.wait, detail: waiters[slot].reason.rawValue), of: UInt16(truncatingIfNeeded: slot))
    }
  }

  private func endWait(_ waiter: Int) {
    waits.add(waiters[waiter].reason, nanoseconds: event.now.monotonic &- waiters[waiter].since)
    waiters[waiter].since = 0
    if trace.isOn { trace.record(TracedEvent(.resume), of: UInt16(truncatingIfNeeded: waiter)) }
  }

  /// What requests wait for now, beside the waits that have ended.
  var waitTimes: WaitTimes {
    var times = waits
    for slot in 0..<slots where waiters[slot].since != 0 {
      times.addUnended(waiters[slot].reason, nanoseconds: event.now.monotonic &- waiters[slot].since)
    }
    return times
  }

  /// The next request to be run in the current event; nil when there is none, or the event has done its
  /// share.
  func takeRunnable() -> Int? {
    guard nextRunnable < runnable.count, !event.isSpent else {
      if nextRunnable == runnable.count, nextRunnable > 0 {
        runnable.removeAll(keepingCapacity: true)
        nextRunnable = 0
      }
      return nil
    }
    nextRunnable += 1
    return runnable[nextRunnable - 1]
  }

  /// Whether any request is to be run.
  var hasRunnable: Bool { !runnable.isEmpty }
  /// Whether any request has done its share and is to go on in the next event.
  var hasContinuing: Bool { !continuing.isEmpty }

  /// The request in a slot is to be run again in the current event.
  func runAgain(_ slot: Int) { runnable.append(slot) }

  /// Makes the requests runnable that had done their share of the last event.
  func continueRequests() {
    guard !continuing.isEmpty else { return }
    runnable.append(contentsOf: continuing)
    continuing.removeAll(keepingCapacity: true)
  }

  /// Makes all requests runnable that wait for room.
  func wakeStalled() {
    guard !stalled.isEmpty else { return }
    runnable.append(contentsOf: stalled)
    stalled.removeAll(keepingCapacity: true)
  }

  /// Requests that wait for room are to be run in the next event.
  func wakeLater() { needsWake = true }

  /// In a new event: wakes the requests that wait for room, if that was asked for.
  func wakeIfAsked() {
    guard needsWake else { return }
    needsWake = false
    wakeStalled()
  }

  // MARK: Reads

  /// The running request or job waits until `frame` has been read.
  /// - Returns: the error that it is to throw.
  func wait(for frame: FrameIndex) -> Stop {
    readers[frame, default: []].append(current)
    waiters[current].missing += 1
    return .again(.read)
  }

  /// Whether any frame is being read for a request or job.
  var isReading: Bool { !readers.isEmpty }

  /// Frames that are being read for requests and jobs.
  var framesBeingRead: Dictionary<FrameIndex, [Int]>.Keys { readers.keys }

  /// The first request that waits for a frame.
  func firstRequest(waitingFor frame: FrameIndex) -> Int? { readers[frame]?.first { $0 < slots } }

  /// The read of a frame has ended, with or without an error: its waiters go on.
  /// - Parameter pinning: whether the frame is pinned until they have run.
  func readEnded(_ frame: FrameIndex, pinning: Bool) {
    for waiter in readers.removeValue(forKey: frame) ?? [] {
      if pinning {
        // No step needs so many at once, and a walk's cursor has passed the blocks pinned before.
        if waiters[waiter].pins.count >= Self.pinsPerWaiter { releasePins(of: waiter) }
        cache.pin(frame)
        waiters[waiter].pins.append(frame)
      }
      waiters[waiter].missing -= 1
      if waiters[waiter].missing == 0, waiter < slots { runnable.append(waiter) }
    }
  }

  /// A request has failed and is finished, although it may have begun reads before: it must not run again
  /// when they end.
  func stopWaiting(_ slot: Int) {
    guard waiters[slot].missing > 0 else { return }
    for frame in Array(readers.keys) { readers[frame]?.removeAll { $0 == slot } }
    waiters[slot].missing = 0
  }

  // MARK: Pins

  /// The cursor of the running request or job has advanced: the blocks that it needed so far may be evicted.
  func releasePins() { releasePins(of: current) }

  private func releasePins(of waiter: Int) {
    guard !waiters[waiter].pins.isEmpty else { return }
    for frame in waiters[waiter].pins { cache.unpin(frame) }
    waiters[waiter].pins.removeAll(keepingCapacity: true)
  }

  /// A request or job has run: all its pins are released.
  @inline(__always)
  func unpin(_ waiter: Int) {
    if waiter == keeper { keeper = nil }
    releasePins(of: waiter)
  }

  /// Releases all pins of a frame that is about to be dropped. The requests and jobs that have pinned it run
  /// again and look the block up anew.
  func unpinEverywhere(_ frame: FrameIndex) {
    guard cache[frame].pins > 0 else { return }
    for waiter in 0..<waiterCount {
      while let index = waiters[waiter].pins.firstIndex(of: frame) {
        waiters[waiter].pins.remove(at: index)
        cache.unpin(frame)
      }
    }
  }

  /// Too few frames are free for the running request or job. Requests that pin frames could wait for each
  /// other's frames for ever; so all but one release their pins.
  /// - Parameter mayKeep: whether this may be that one.
  func letGo(mayKeep: Bool = false) {
    if mayKeep, keeper == nil { keeper = current }
    guard condition.isReady, current != keeper, !waiters[current].pins.isEmpty else { return }
    unpin(current)
    needsWake = true
  }

  /// Recovery needs the frames: releases the pins of all requests that do not wait for reads.
  func unpinRequests() {
    for slot in stalled + continuing + [current] { unpin(slot) }
  }

  // MARK: Moving directories

  /// Makes sure that no other request moves a directory.
  /// - Throws: `again` while one does.
  func beginDirectoryMove() throws(Stop) {
    guard directoryMover == nil || directoryMover == current else { throw .again(.directoryMove) }
    directoryMover = current
  }

  /// The request in a slot is finished: another may move a directory.
  @inline(__always)
  func endDirectoryMove(_ slot: Int) {
    guard directoryMover == slot else { return }
    directoryMover = nil
    if !stalled.isEmpty { needsWake = true }
  }

  // MARK: Work that is asked for

  func askForCheckpoint() { wantsCheckpoint = true }

  /// Checkpoints are to be made until number `sequence` is durable.
  func askForCheckpoint(through sequence: UInt64) {
    checkpointTarget = sequence
    wantsCheckpoint = true
  }

  /// A cut was made, or none will be made.
  func checkpointIsMade() { wantsCheckpoint = false }

  func askForSegments() { wantsSegments = true }

  /// The cleaner has done what it can.
  func segmentsWereSought() { wantsSegments = false }

  /// No request may make a change until the cut.
  func holdChanges() { holdsChanges = true }

  func releaseChanges() { holdsChanges = false }

  // MARK: Planned misses

  /// A run begins: it may get a planned miss.
  @inline(__always)
  func planMiss() {
    guard misses.random != 0 else { return }
    if condition.isReady { misses.plan(for: current) } else { misses.left = -1 }
  }

  /// The run begins to make changes: everything it needs is in memory, so no miss may come from here on.
  @inline(__always)
  func beginChanges() { misses.left = -1 }

  /// A block was found; it counts as missing if the planned miss is due.
  @inline(__always)
  func countFound(_ frame: FrameIndex) throws(Stop) {
    guard misses.left >= 0 else { return }
    try countPlanned(frame)
  }

  @inline(never)
  private func countPlanned(_ frame: FrameIndex) throws(Stop) {
    misses.left -= 1
    guard misses.left < 0 else { return }
    if misses.forgets { cache.giveUp(frame) }
    misses.lastWaiter = current
    metPlannedMiss = true
    if !isRequest { needsWake = true }
    throw .again(.share)
  }

  // MARK: Invariants

  func checkInvariants(_ invariants: inout Invariants) {
    var missing = [Int](repeating: 0, count: waiterCount)
    for (frame, waiting) in readers {
      let isUnderWay = cache[frame].isLoading || cache[frame].state == .buffer
      invariants.expect(isUnderWay, "frame \(frame) is waited for and not being read")
      for waiter in waiting { missing[waiter] += 1 }
    }
    for waiter in 0..<waiterCount {
      invariants.expect(
        "reads that waiter \(waiter) waits for", waiters[waiter].missing, equals: missing[waiter])
    }
    let listed = stalled + continuing + runnable[min(nextRunnable, runnable.count)...]
    invariants.expect("requests that wait, each in one list", Set(listed).count, equals: listed.count)
    invariants.expect(
      listed.allSatisfy { waiters[$0].missing == 0 }, "a request waits for reads and for something else")
  }

  /// Each frame has as many pins as there are waiters that pin it.
  func checkPins(_ invariants: inout Invariants) {
    var pins = 0
    for waiter in 0..<waiterCount {
      pins += waiters[waiter].pins.count
      invariants.expect(
        waiters[waiter].pins.count <= Self.pinsPerWaiter, "waiter \(waiter) keeps too many frames")
      for frame in waiters[waiter].pins {
        invariants.expect(cache[frame].pins > 0, "waiter \(waiter) keeps frame \(frame), which has no pins")
      }
    }
    invariants.expect("pins of frames", cache.all.reduce(0) { $0 + Int(cache[$1].pins) }, equals: pins)
  }
}

/// What a request (by its slot) or a job waits for, and the frames pinned for it.
struct Waiter {
  /// How many reads it waits for.
  fileprivate(set) var missing = 0
  /// Frames pinned until it has run, or its cursor has advanced: at most `Waiting.pinsPerWaiter`.
  fileprivate var pins: [FrameIndex] = []
  /// Why it waits, and since when (ns, monotonic); `since` is 0 when it does not wait.
  fileprivate var reason = WaitReason.read
  fileprivate var since: UInt64 = 0
}

/// Background work, done in steps by `FileSystem.advance`.
enum Job: Int, CaseIterable {
  case mount, commit, checkpoint, cleaner, freeing, paths
}
