import CMachine
import Format
import Glibc

/// How far a request has come.
struct SlotState {
  /// Blocks a slot's data area can take at most.
  static let maximumBlocks = 272

  /// Device reads still under way.
  var pendingReads = 0
  /// The first error of a read.
  var readError: Int32 = 0
  /// A block did not match its checksum.
  var hasMismatch = false
  /// The first of the read's blocks that did not match, or could not be read.
  var badBlock = Int.max
  /// The read was run again after a mismatch.
  var isSecondTry = false
  /// fsync and O_SYNC: the log write that must be durable before the reply; nil until everything was written.
  var awaitedSequence: UInt64?
  /// syncfs: the number of the commit that has to end before the reply.
  var awaitedCommit: UInt64?
  /// fsync and O_SYNC: set when the change itself has been made.
  var isApplied = false
  /// The reply is on its way, and frames are lent beyond it: see `borrowPayload`.
  var isKept = false
  /// How far a long operation has come, in bytes.
  var progress: UInt64 = 0
  /// Blocks of a map before this one need not be looked at again.
  var searched: UInt64 = 0
  /// The page that had become dirty last when the request first asked for a file's pages to be written.
  var pagesUntil: UInt64?
  /// The walk by which it drops cached pages.
  var cutWalk: UInt64 = 0
  /// How far up walks of ancestors have come: from a rename's new parent and, where two names are exchanged, from the old one.
  var ancestry: InlineArray<2, AncestorWalk> = .init(repeating: AncestorWalk())
}

/// Who waits for nodes: a request's slot or a job.
struct Waiter {
  /// Reads it waits for.
  var missing = 0
  /// Frames kept in memory until it has run, or has come further: at most `FileSystem.pinsPerWaiter`.
  var pins: [FrameIndex] = []
}

/// Long work, done in steps by `advance`.
enum Job: Int, CaseIterable {
  case mount, commit, checkpoint, cleaner, reclaim, naming
}

/// What a device command was for.
struct Tag {
  enum Kind: UInt8 {
    case unknown, load, read, logWrite, flush, checkpoint, discard, cleanerRead, mount, errorRecord
  }

  let raw: UInt64

  init(raw: UInt64) { self.raw = raw }

  init(_ kind: Kind, _ value: UInt64 = 0) { raw = UInt64(kind.rawValue) << 56 | value }

  /// A read of `count` blocks into a slot, from its block `first` on.
  init(readFor slot: Int, first: Int, count: Int) {
    self.init(.read, UInt64(slot) << 32 | UInt64(first) << 16 | UInt64(count))
  }

  var kind: Kind { Kind(rawValue: UInt8(truncatingIfNeeded: raw >> 56)) ?? .unknown }
  var value: UInt64 { raw & 0x00FF_FFFF_FFFF_FFFF }
  var slot: Int { Int(value >> 32) }
  var first: Int { Int((value >> 16) & 0xFFFF) }
  var count: Int { Int(value & 0xFFFF) }
}

/// A data block's place: the inode's slot in `InodeStates` does not matter, its number does.
struct PageName: Equatable {
  var inode: UInt64
  var index: UInt64
}

/// What happened, for people and tests.
public struct Counters: Sendable {
  public var requests: UInt64 = 0
  public var reruns: UInt64 = 0
  /// The most work done in one event, in units of about 3 ns; see `Work`.
  public var mostWorkPerStep: UInt64 = 0
  public var nodeLoads: UInt64 = 0
  public var logWrites: UInt64 = 0
  public var logBlocks: UInt64 = 0
  public var flushes: UInt64 = 0
  public var checkpoints: UInt64 = 0
  public var cleanedSegments: UInt64 = 0
  public var movedBlocks: UInt64 = 0
  public var checksumErrors: UInt64 = 0
}

extension FileSystem {
  /// Counters since the mount.
  public var statistics: Counters { counters }

  // MARK: Running requests

  /// Runs the request in `slot` from its beginning; it replies, waits for reads, or is to be run again.
  func run(_ slot: Int) {
    currentWaiter = slot
    goesOn = false
    do throws(Stop) {
      guard failure == nil else { throw .fail(Code.io) }
      guard isReady else {
        // See `requireWritable`.
        unpin(slot)
        throw .again
      }
      guard cache.reserve(Self.framesPerOperation + Self.framesForJobs) else {
        if keeper == nil { keeper = slot }
        letGo(slot)
        throw .again
      }
      planMiss()
      try dispatch(slot)
      unpin(slot)
    } catch {
      switch error {
      case .again:
        counters.reruns += 1
        if waiters[slot].missing == 0 {
          if goesOn { continuing.append(slot) } else { stalled.append(slot) }
        }
      case .fail(let code):
        unpin(slot)
        stopWaiting(slot)
        // Nothing is freed that the kernel knows: an inode that is not there is damage.
        replies[slot].error = code == Code.stale ? Code.io : code
        noteLostWriteback(requests[slot], replies[slot].error)
        finish(slot)
      }
    }
  }

  /// Frames an operation may need for new nodes and pages beside what it found; the largest write needs the most.
  static let framesPerOperation = 320
  /// Frames that requests leave free, so that a step of a commit or a checkpoint can always be done.
  static let framesForJobs = 160
  /// Frames kept in memory for one request or job at most. Together with `framesPerOperation`, `framesForJobs`, dirty pages
  /// and dirty nodes it fits the smallest cache: see `nodeBudget`.
  static let pinsPerWaiter = 256
  /// Blocks that whoever walks asks for at the same time.
  static let readsAhead = 32

  /// The request at hand has done its share of a long operation: it lets others run, and goes on in the next `advance`.
  func goOn() -> Stop {
    goesOn = true
    return .again
  }

  /// The request or job at hand has come further, and remembers how far: what it needed for that may leave memory.
  func releasePins() { releasePins(of: currentWaiter) }

  func releasePins(of waiter: Int) {
    guard !waiters[waiter].pins.isEmpty else { return }
    for frame in waiters[waiter].pins { cache.frames[Int(frame)].pins -= 1 }
    waiters[waiter].pins.removeAll(keepingCapacity: true)
  }

  /// The reply in the slot is complete.
  func finish(_ slot: Int) {
    if directoryMover == slot { endDirectoryMove() }
    slots[slot].isKept = cache.lentFrames[slot] > 0
    replies[slot].keepsSlot = slots[slot].isKept
    effects.finished.append(UInt32(truncatingIfNeeded: slot))
  }

  /// Runs requests again whose reads have ended, as many as one event has time for.
  func runRunnable() {
    while nextRunnable < runnable.count, !isSpent {
      let slot = runnable[nextRunnable]
      nextRunnable += 1
      run(slot)
    }
    if nextRunnable == runnable.count, nextRunnable > 0 {
      runnable.removeAll(keepingCapacity: true)
      nextRunnable = 0
    }
    if !cache.repaidSlots.isEmpty { releaseRepaidSlots() }
  }

  /// Something made room: everyone who waits for room tries again.
  func wakeStalled() {
    guard !stalled.isEmpty else { return }
    runnable.append(contentsOf: stalled)
    stalled.removeAll(keepingCapacity: true)
  }

  // MARK: Waiting for nodes

  /// Whoever runs at the moment waits until `frame` has been read.
  func wait(for frame: FrameIndex) {
    loadWaiters[frame, default: []].append(currentWaiter)
    waiters[currentWaiter].missing += 1
  }

  /// Too few frames are free to run. What this one keeps may be what another waits for, and the other way round; so all but
  /// one request let go of what they keep.
  private func letGo(_ waiter: Int) {
    guard isReady, waiter != keeper, !waiters[waiter].pins.isEmpty else { return }
    unpin(waiter)
    needsWake = true
  }

  /// A request that failed has its answer, though it may have asked for blocks before: it must not run again when they come.
  private func stopWaiting(_ slot: Int) {
    guard waiters[slot].missing > 0 else { return }
    for frame in Array(loadWaiters.keys) { loadWaiters[frame]?.removeAll { $0 == slot } }
    waiters[slot].missing = 0
  }

  func unpin(_ waiter: Int) {
    if waiter == keeper { keeper = nil }
    releasePins(of: waiter)
  }

  /// Does a step of a job as its waiter.
  /// - Returns: false when the job waits for reads or for room.
  func attempt(_ job: Job, _ step: () throws(Stop) -> Void) -> Bool {
    let waiter = memory.slots + job.rawValue
    guard waiters[waiter].missing == 0 else { return false }
    currentWaiter = waiter
    do throws(Stop) {
      guard cache.reserve(job == .mount ? Self.framesPerOperation : Self.framesForJobs) else {
        letGo(waiter)
        throw .again
      }
      planMiss()
      try step()
      unpin(waiter)
      return true
    } catch {
      if case .fail(let code) = error {
        unpin(waiter)
        jobFailed(job, code)
      }
      return false
    }
  }

  /// Whether a job waits for reads.
  func isWaiting(_ job: Job) -> Bool { waiters[memory.slots + job.rawValue].missing > 0 }
}

/// errno values, by what they mean here.
enum Code {
  /// What an error number means, in words.
  static func text(_ code: Int32) -> String { String(cString: cm_block_error(code)) }
  /// The reason in brackets, behind what failed; nothing where there is none.
  static func reason(_ code: Int32) -> String { code == 0 ? "" : " (\(text(code)))" }

  static let io = EIO
  static let noEntry = ENOENT
  static let noDevice = ENODEV
  static let exists = EEXIST
  static let notDirectory = ENOTDIR
  static let isDirectory = EISDIR
  static let notEmpty = ENOTEMPTY
  static let invalid = EINVAL
  static let noSpace = ENOSPC
  static let readOnly = EROFS
  static let nameTooLong = ENAMETOOLONG
  static let tooManyLinks = EMLINK
  static let notPermitted = EPERM
  static let noAttribute = ENODATA
  static let range = ERANGE
  static let tooBig = E2BIG
  static let fileTooBig = EFBIG
  static let stale = ESTALE
  static let busy = EBUSY
  static let notSupported = EOPNOTSUPP
  static let noSuchOffset = ENXIO
  static let badHandle = EBADF
  static let notImplemented = ENOSYS
}
