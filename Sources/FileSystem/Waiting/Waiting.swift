/// Who waits for what: requests and jobs for blocks that are being read, requests for room, and for their
/// turn to go on; and what checkpoints and the cleaner are asked to do.
///
/// Owns the lists of waiting requests, whose pins keep each frame, and what is asked of checkpoints and the
/// cleaner. A request is in at most one of the lists:
///
///     begin ─▶ runs ─▶ finished
///              │ ▲
///              ▼ │  blocks have come          `isMissing`  waits for reads
///              │ │  something made room       `stalled`    waits for room
///              └─┘  the next event            `continuing` has done its share
///
/// It promises that a request which waits is run again: reads end, each checkpoint, discard, log write and
/// step of freeing wakes those that wait for room, and those that have done their share go on in the next
/// event.
final class Waiting {
  /// Frames an operation may need for new nodes and pages beside what it found; the largest write needs the
  /// most.
  static let framesPerOperation = 320
  /// Frames that requests leave free, so that a step of a commit or a checkpoint can always be done.
  static let framesForJobs = 160
  /// Frames kept in memory for one request or job at most. Together with `framesPerOperation`,
  /// `framesForJobs`, dirty pages and dirty nodes it fits the smallest cache: see `Space.nodeBudget`.
  static let pinsPerWaiter = 256
  /// Blocks that a walk asks for at the same time.
  static let readsAhead = 32

  /// How many requests can be under way; waiters from this number on are jobs.
  let slots: Int
  private let cache: Cache
  private let event: Event
  private let condition: Condition
  /// One for each slot, then one for each job.
  private let waiters: UnsafeMutablePointer<Waiter>
  private let waiterCount: Int
  /// One for each slot, and one for jobs.
  private let cursors: UnsafeMutablePointer<Cursor>
  /// Who waits for each frame that is being read.
  private var readers: [FrameIndex: [Int]] = [:]
  /// The request or job that runs.
  private(set) var current = 0
  /// The request that keeps its frames though too few are free for it to run.
  private var keeper: Int?
  /// Slots to be run again in the event at hand, and the first of them that has not run yet.
  private var runnable: [Int] = []
  private var nextRunnable = 0
  /// Slots that wait for room of any kind.
  private var stalled: [Int] = []
  /// Slots whose long operation has done its share and goes on in the next `advance`.
  private var continuing: [Int] = []
  /// Requests that wait for room are to try again at the next `advance`.
  private(set) var needsWake = false
  /// The request that walks up from a directory's new parent: no other directory changes its parent
  /// meanwhile.
  private(set) var directoryMover: Int?
  private var misses: PlannedMisses
  /// The run at hand met a planned miss.
  private var metPlannedMiss = false
  /// How often and how long requests have waited for each reason.
  private(set) var waits = WaitTimes()

  // MARK: Work that is asked for

  /// A checkpoint is to be made.
  private(set) var wantsCheckpoint = false
  /// Checkpoints are to be made until this one is durable.
  private(set) var checkpointTarget: UInt64 = 0
  /// A request waits for segments: the cleaner is to free some, whatever it costs.
  private(set) var wantsSegments = false
  /// A cut is about to be made: nothing may be changed until then.
  private(set) var holdsChanges = false

  /// - Parameter missSeed: see `Options.missSeed`.
  init(cache: Cache, event: Event, condition: Condition, missSeed: UInt64) {
    self.cache = cache
    self.event = event
    self.condition = condition
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

  /// How far the request at hand has come. All jobs have one, and none relies on it.
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

  /// A request or job runs from here on.
  @inline(__always)
  func enter(_ waiter: Int) {
    current = waiter
    metPlannedMiss = false
    if waiters[waiter].since != 0 { endWait(waiter) }
  }

  /// The waiter of a job.
  func waiter(of job: Job) -> Int { slots + job.rawValue }

  /// Does a step of a job as its waiter.
  /// - Returns: how that ended.
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
    /// It did all there was.
    case done
    /// It waits for reads or for room.
    case waits
    /// It met an error that is not about room.
    case failed(Int32)
  }

  /// Whether a job waits for reads.
  func isWaiting(_ job: Job) -> Bool { waiters[waiter(of: job)].missing > 0 }

  /// Whether the request or job that runs waits for reads that it has asked for in this run.
  var isMissing: Bool { waiters[current].missing > 0 }

  /// The request in a slot could not run to its end.
  func suspend(_ slot: Int, _ reason: WaitReason) {
    waiters[slot].reason = waiters[slot].missing > 0 ? .read : reason
    waiters[slot].since = max(event.now.monotonic, 1)
    guard waiters[slot].missing == 0 else { return }
    if reason == .share || metPlannedMiss { continuing.append(slot) } else { stalled.append(slot) }
  }

  private func endWait(_ waiter: Int) {
    waits.add(waiters[waiter].reason, nanoseconds: event.now.monotonic &- waiters[waiter].since)
    waiters[waiter].since = 0
  }

  /// What the requests that wait at this moment wait for.
  var reasons: [(slot: Int, reason: WaitReason, since: UInt64)] {
    (0..<slots).compactMap { waiters[$0].since == 0 ? nil : ($0, waiters[$0].reason, waiters[$0].since) }
  }

  /// The next request to be run in the event at hand; nil when there is none, or the event has done its
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

  /// Whether requests are to be run.
  var hasRunnable: Bool { !runnable.isEmpty }
  /// Whether requests have done their share of the last event.
  var hasContinuing: Bool { !continuing.isEmpty }

  /// The request in a slot is to be run again in the event at hand.
  func runAgain(_ slot: Int) { runnable.append(slot) }

  /// The requests that had done their share of an event go on.
  func continueRequests() {
    guard !continuing.isEmpty else { return }
    runnable.append(contentsOf: continuing)
    continuing.removeAll(keepingCapacity: true)
  }

  /// Something made room: all requests that wait for room try again.
  func wakeStalled() {
    guard !stalled.isEmpty else { return }
    runnable.append(contentsOf: stalled)
    stalled.removeAll(keepingCapacity: true)
  }

  /// Requests that wait for room are to try again in the next event.
  func wakeLater() { needsWake = true }

  /// The next event has come.
  func wakeIfAsked() {
    guard needsWake else { return }
    needsWake = false
    wakeStalled()
  }

  // MARK: Reads

  /// The request or job that runs waits until `frame` has been read.
  /// - Returns: what it throws.
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

  /// A frame has been read, or is not read any more: those that waited for it go on.
  /// - Parameter pinning: whether the frame is kept until they have run.
  func readEnded(_ frame: FrameIndex, pinning: Bool) {
    for waiter in readers.removeValue(forKey: frame) ?? [] {
      if pinning {
        // No step needs so many at once; a walk has remembered how far it came.
        if waiters[waiter].pins.count >= Self.pinsPerWaiter { releasePins(of: waiter) }
        cache.pin(frame)
        waiters[waiter].pins.append(frame)
      }
      waiters[waiter].missing -= 1
      if waiters[waiter].missing == 0, waiter < slots { runnable.append(waiter) }
    }
  }

  /// A request that failed has its answer, though it may have asked for blocks before: it must not run again
  /// when they come.
  func stopWaiting(_ slot: Int) {
    guard waiters[slot].missing > 0 else { return }
    for frame in Array(readers.keys) { readers[frame]?.removeAll { $0 == slot } }
    waiters[slot].missing = 0
  }

  // MARK: Pins

  /// The request or job at hand has come further, and remembers how far: what it needed for that may leave
  /// memory.
  func releasePins() { releasePins(of: current) }

  private func releasePins(of waiter: Int) {
    guard !waiters[waiter].pins.isEmpty else { return }
    for frame in waiters[waiter].pins { cache.unpin(frame) }
    waiters[waiter].pins.removeAll(keepingCapacity: true)
  }

  /// A request or job has run: it keeps nothing any more.
  @inline(__always)
  func unpin(_ waiter: Int) {
    if waiter == keeper { keeper = nil }
    releasePins(of: waiter)
  }

  /// A frame is about to go: it is kept for no request or job any longer. Those that waited for it run again
  /// and see what has become of it.
  func unpinEverywhere(_ frame: FrameIndex) {
    guard cache[frame].pins > 0 else { return }
    for waiter in 0..<waiterCount {
      while let index = waiters[waiter].pins.firstIndex(of: frame) {
        waiters[waiter].pins.remove(at: index)
        cache.unpin(frame)
      }
    }
  }

  /// Too few frames are free to run. What this request or job keeps may be what another waits for, and the
  /// other way round; so all but one request let go of what they keep.
  /// - Parameter mayKeep: whether this may be that one.
  func letGo(mayKeep: Bool = false) {
    if mayKeep, keeper == nil { keeper = current }
    guard condition.isReady, current != keeper, !waiters[current].pins.isEmpty else { return }
    unpin(current)
    needsWake = true
  }

  /// Recovery needs the frames: requests that do not wait for reads keep none.
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

  /// The request in a slot has its answer: another may move a directory.
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

  /// A cut was made, or none will be.
  func checkpointIsMade() { wantsCheckpoint = false }

  func askForSegments() { wantsSegments = true }

  /// The cleaner has done what it can.
  func segmentsWereSought() { wantsSegments = false }

  /// Nothing may be changed until the cut.
  func holdChanges() { holdsChanges = true }

  func releaseChanges() { holdsChanges = false }

  // MARK: Planned misses

  /// A run of the waiter at hand begins.
  @inline(__always)
  func planMiss() {
    guard misses.random != 0 else { return }
    if condition.isReady { misses.plan(for: current) } else { misses.left = -1 }
  }

  /// The run at hand begins to change things: all that it needs is in memory, as it has just seen.
  @inline(__always)
  func beginChanges() { misses.left = -1 }

  /// A block was found; now and then it counts as missing all the same.
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

  /// Each frame has as many pins as requests and jobs keep it.
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

/// A request's slot or a job, as what waits for blocks to be read.
struct Waiter {
  /// Reads it waits for.
  fileprivate(set) var missing = 0
  /// Frames kept in memory until it has run, or has come further: at most `Waiting.pinsPerWaiter`.
  fileprivate var pins: [FrameIndex] = []
  /// What it waits for at the moment, and since when (ns, monotonic); 0 when it does not.
  fileprivate var reason = WaitReason.read
  fileprivate var since: UInt64 = 0
}

/// Long work, done in steps by `FileSystem.advance`.
enum Job: Int, CaseIterable {
  case mount, commit, checkpoint, cleaner, freeing, paths
}
