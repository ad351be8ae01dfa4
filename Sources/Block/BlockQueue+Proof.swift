import BlockCRC
import BlockProtocol
import CMachine
import Glibc
import NVMe
import NVMeSpec
import PCI

/// How far the proof has come that a device still holds what was written to it although it lost power, or was
/// started anew.
///
///     none ──power lost: all commands come back──► begun ──► reading ──all is there──► none
///                                                               └────something is not──► failed
enum Proof: Equatable {
  case none
  /// Nothing is under way, and new commands wait.
  case begun
  /// Blocks are read back; the place of the next one in `UnflushedWrites`. New commands wait.
  case reading(next: UInt64)
  /// Something is lost: only reads are carried out.
  case failed

  /// Whether new commands wait for its end.
  var isUnderWay: Bool { self != .none && self != .failed }
}

/// What is not flushed is accounted for; after a loss of power it is read back. A flush succeeds only when
/// what it covers is there.
extension BlockQueue {
  /// Marks the context of a read for a proof, which is the number of its frame.
  static let proofMark: UInt64 = 1 << 62
  /// The context of a flush that only makes room for further entries.
  private static let ownFlush = proofMark | 1 << 32

  /// The checksum of a block.
  static func checksum(_ block: UnsafeMutableRawPointer) -> UInt32 { BlockCRC.run(.max, block) }

  // MARK: The account

  /// How often a loss of power, or a new start, may overtake a request before it is given up: it may be what
  /// brings that about.
  private static let recallLimit = 5

  /// A request has ended.
  /// - Returns: whether its end is to be reported. What a loss of power overtook is carried out again; so is
  ///   what would be durable by it, which counts only when what was durable before is there.
  @inline(__always)
  mutating func settle(_ index: UInt32) -> Bool {
    let request = pool[index]
    switch request.pointee.operation {
    case .read where !request.pointee.isRecalled: return true
    default: return settleSlow(index)
    }
  }

  @inline(never)
  private mutating func settleSlow(_ index: UInt32) -> Bool {
    let request = pool[index]
    let operation = request.pointee.operation
    if request.pointee.errno != 0 {
      // What it has left is not known.
      if Self.changes(operation) { recordUnknown(index) }
      return true
    }
    if request.pointee.isRecalled { return retryRecalled(index) }
    let isDurable =
      operation == .flush || operation == .write && (request.pointee.forceUnitAccess || !hasVolatileCache)
    if isDurable, proof != .none { return restart(index) }
    if isDurable, ownFlushErrno != 0 {
      // The device may have dropped what it could not flush, and tell of it once.
      request.pointee.errno = ownFlushErrno
      ownFlushErrno = 0
    }
    switch operation {
    case .write: if keepsAccount { recordWrite(request) }
    case .writeZeroes: recordUnknown(index)
    // Where the end was noted when it was posted.
    case .flush: if request.pointee.errno == 0 { unflushed.markFlushed(before: request.pointee.block) }
    case .read, .discard, .verify, .compare: break
    }
    return true
  }

  /// A request that was under way when power was lost is carried out again, unless that has happened too
  /// often.
  private mutating func retryRecalled(_ index: UInt32) -> Bool {
    let request = pool[index]
    // Its blocks may hold what they did, what it writes, or some of each.
    if Self.changes(request.pointee.operation) { recordUnknown(index) }
    request.pointee.recalls += 1
    guard request.pointee.recalls > Self.recallLimit else { return restart(index) }
    request.pointee.errno = EIO
    return true
  }

  /// Makes a request wait as it was when it was submitted.
  /// - Returns: false.
  private mutating func restart(_ index: UInt32) -> Bool {
    let request = pool[index]
    request.pointee.block = firstBlock(request)
    request.pointee.frames? -= Int(request.pointee.count - request.pointee.remaining)
    request.pointee.remaining = request.pointee.count
    request.pointee.isRecalled = false
    if request.pointee.operation == .discard {
      discards.append(index, in: pool)
    } else {
      waiting.append(index, in: pool)
    }
    return false
  }

  /// Whether an operation that was not carried out to its end leaves its blocks in a state that is not known.
  private static func changes(_ operation: BlockCommand.Operation) -> Bool {
    operation == .write || operation == .writeZeroes
  }

  /// The block that a request begins with.
  private func firstBlock(_ request: UnsafeMutablePointer<BlockRequest>) -> UInt64 {
    request.pointee.block &- UInt64(request.pointee.count - request.pointee.remaining)
  }

  private mutating func recordWrite(_ request: UnsafeMutablePointer<BlockRequest>) {
    let count = Int(request.pointee.count)
    guard let end = request.pointee.frames else { return }
    let (first, frames) = (firstBlock(request), end - count)
    for offset in 0..<count {
      unflushed.append(
        UnflushedWrites.Entry(
          block: first &+ UInt64(offset), count: 1,
          checksum: Self.checksum(memory + Int(frames[offset]) * DMAArena.frameSize), isData: true))
    }
    if !hasVolatileCache {
      unflushed.markFlushed(before: unflushed.end)
    } else if unflushed.needsFlush {
      makeRoom()
    }
  }

  /// Has the device flush, so that entries are not lost before what they stand for is durable.
  private mutating func makeRoom() {
    guard ownFlushPlace == nil, proof == .none else { return }
    let flush = SubmissionEntry(.flush, namespace: namespace)
    if pair.post(flush, context: Self.ownFlush) != nil { ownFlushPlace = unflushed.end }
  }

  /// Nothing is known of what a request's blocks hold: they are being discarded, or filled with zeros that
  /// have no entry, or it is not known how far a write has come.
  mutating func recordUnknown(_ index: UInt32) {
    guard keepsAccount else { return }
    let request = pool[index]
    let (block, count) = (firstBlock(request), request.pointee.count)
    if request.pointee.operation == .writeZeroes {
      unflushed.appendUnprovable(block, count)
    } else {
      unflushed.append(UnflushedWrites.Entry(block: block, count: count, checksum: 0, isData: false))
    }
    if !hasVolatileCache { unflushed.markFlushed(before: unflushed.end) }
  }

  // MARK: The proof

  /// The device lost power, or was started anew: nothing is posted any more until it was looked at.
  @inline(never)
  mutating func beginProof() {
    cacheLosses = controller.cacheLosses
    guard proof != .failed else { return }
    proof = .begun
    wholeLimit = 0
    // Of what was posted in part, that part may be lost, or may be there.
    for list in [waiting, discards] where !list.isEmpty {
      let first = pool[list.first]
      guard first.pointee.remaining < first.pointee.count else { continue }
      first.pointee.isRecalled = true
      recordUnknown(list.first)
    }
  }

  /// Goes on with a proof as far as the queue pair has room.
  @inline(never)
  mutating func continueProof() {
    // Until the queue is online again, more may come back that power was lost under.
    if proof == .begun, pair.hasRoom { beginReading() }
    guard case .reading(var next) = proof, let readBack else { return }
    while next < unflushed.end {
      let entry = unflushed[next]
      if entry.isData {
        guard pair.hasRoom, let frame = readBack.take(for: next) else { break }
        guard postRead(entry.block, into: frame, of: readBack) else {
          return failProof("block \(entry.block)")
        }
      }
      next += 1
    }
    proof = .reading(next: next)
    if next == unflushed.end, readBack.isIdle { endProof() }
  }

  private mutating func beginReading() {
    guard readBack != nil, unflushed.isComplete else {
      return failProof("more was written than can be looked for")
    }
    proof = .reading(next: unflushed.first)
  }

  private mutating func postRead(_ block: UInt64, into frame: Int, of readBack: ReadBack) -> Bool {
    let (lba, lbas) = (block &<< lbaShift, UInt32(1) &<< lbaShift32)
    let context = Self.proofMark | UInt64(frame)
    let frames = UnsafePointer(readBack.frameList + frame)
    if isProtected {
      return pair.postProtected(
        readOpcode, namespace: namespace, lba: lba, lbaCount: lbas, forceUnitAccess: false, frames: frames,
        count: 1, base: readBack.arena.iova, memory: readBack.arena.base, context: context)
    }
    return pair.postTransfer(
      readOpcode, namespace: namespace, lba: lba, lbaCount: lbas, forceUnitAccess: false, frames: frames,
      count: 1, base: readBack.arena.iova, context: context)
  }

  /// A command of the proof, or the flush that makes room, has ended.
  mutating func endMarked(_ finished: FinishedCommand) {
    guard finished.context != Self.ownFlush else {
      if finished.end == .recalled || proof != .none {
        // The proof looks at what it should have covered.
      } else if finished.errno != 0 {
        ownFlushErrno = finished.errno
      } else if let ownFlushPlace {
        unflushed.markFlushed(before: ownFlushPlace)
      }
      ownFlushPlace = nil
      return
    }
    guard let readBack else { return }
    let frame = Int(finished.context & ~Self.proofMark)
    let place = readBack.give(frame)
    // A read of a proof that is begun anew, or of a controller that is given up, says nothing.
    guard case .reading = proof, finished.end != .recalled, controller.lostErrno == nil else { return }
    let entry = unflushed[place]
    let isThere =
      finished.errno == 0 && Self.checksum(readBack.arena.pointer(UInt32(frame))) == entry.checksum
    if !isThere, finished.errno != 0 || !unflushed.isOutdated(place) { failProof("block \(entry.block)") }
  }

  private mutating func endProof() {
    proof = .none
    wholeLimit = wholeLimitOfReadyDevice
    drainWaiting()
  }

  private mutating func failProof(_ missing: String) {
    proof = .failed
    loss = missing
    drainWaiting()
  }
}
