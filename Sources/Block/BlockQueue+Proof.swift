import BlockCRC
import BlockProtocol
import CMachine
import Glibc
import NVMe
import NVMeSpec
import PCI

/// The state of the proof that a device which lost power, or was restarted, still holds what was written to
/// it.
///
///     none ──power lost: all commands come back──► begun ──► reading ──all is there──► none
///                                                               └────something is not──► failed
enum Proof: Equatable {
  case none
  /// No command is in flight, and new ones wait.
  case begun
  /// Blocks are read back; `next` is the place of the next one in `UnflushedWrites`. New commands wait.
  case reading(next: UInt64)
  /// A written block is lost: only reads are carried out.
  case failed

  /// Whether new commands wait for the proof's end.
  var isUnderWay: Bool { self != .none && self != .failed }
}

/// Unflushed writes are recorded, and read back after a loss of power. A flush succeeds only when the writes
/// that it covers are on the device.
extension BlockQueue {
  /// The bit that marks the context of a proof's read; the other bits are the number of its frame.
  static let proofMark: UInt64 = 1 << 62
  /// The context of the queue's own flush, which makes room for further entries.
  private static let ownFlush = proofMark | 1 << 32

  /// The checksum of a block.
  static func checksum(_ block: UnsafeMutableRawPointer) -> UInt32 { BlockCRC.run(.max, block) }

  // MARK: The record of unflushed writes

  /// How often a loss of power, or a restart, may interrupt a request before it fails: the request may be the
  /// cause.
  private static let recallLimit = 5

  /// Handles the end of a request.
  /// - Returns: whether its end is to be reported. A request that a loss of power interrupted is carried out
  ///   again; so is a flush or FUA write, which may succeed only when everything durable before is still
  ///   there.
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
      // A failed write leaves its blocks in an unknown state.
      if Self.changes(operation) { recordUnknown(index) }
      return true
    }
    if request.pointee.isRecalled { return retryRecalled(index) }
    let isDurable =
      operation == .flush || operation == .write && (request.pointee.forceUnitAccess || !hasVolatileCache)
    if isDurable, proof != .none { return restart(index) }
    if isDurable, ownFlushErrno != 0 {
      // The device may have dropped the data that it could not flush, and reports that only once.
      request.pointee.errno = ownFlushErrno
      ownFlushErrno = 0
    }
    switch operation {
    case .write: if keepsAccount { recordWrite(request) }
    case .writeZeroes: recordUnknown(index)
    // `block` is the end of `unflushed` at the time the flush was posted.
    case .flush: if request.pointee.errno == 0 { unflushed.markFlushed(before: request.pointee.block) }
    case .read, .discard, .verify, .compare: break
    }
    return true
  }

  /// Carries out again a request that was in flight when power was lost, unless that has happened too often.
  private mutating func retryRecalled(_ index: UInt32) -> Bool {
    let request = pool[index]
    // Its blocks may hold old data, new data, or some of each.
    if Self.changes(request.pointee.operation) { recordUnknown(index) }
    request.pointee.recalls += 1
    guard request.pointee.recalls > Self.recallLimit else { return restart(index) }
    request.pointee.errno = EIO
    return true
  }

  /// Puts a request back into the waiting list, in its state at submission.
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

  /// Whether an incomplete operation leaves its blocks in an unknown state.
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

  /// Posts a flush, so that no entry is dropped before its block is durable.
  private mutating func makeRoom() {
    guard ownFlushPlace == nil, proof == .none else { return }
    let flush = SubmissionEntry(.flush, namespace: namespace)
    if pair.post(flush, context: Self.ownFlush) != nil { ownFlushPlace = unflushed.end }
  }

  /// Records that the contents of a request's blocks are unknown: a discard, zeros without an entry, or a
  /// write that may be incomplete.
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

  /// The device lost power, or was restarted: nothing is posted until the proof has ended.
  @inline(never)
  mutating func beginProof() {
    cacheLosses = controller.cacheLosses
    guard proof != .failed else { return }
    proof = .begun
    wholeLimit = 0
    // The posted parts of a request may be lost or may be on the device.
    for list in [waiting, discards] where !list.isEmpty {
      let first = pool[list.first]
      guard first.pointee.remaining < first.pointee.count else { continue }
      first.pointee.isRecalled = true
      recordUnknown(list.first)
    }
  }

  /// Continues a proof as far as the queue pair has room.
  @inline(never)
  mutating func continueProof() {
    // Until the queue is online again, more commands may come back as recalled.
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

  /// Handles the end of a command of the proof, or of the queue's own flush.
  mutating func endMarked(_ finished: FinishedCommand) {
    guard finished.context != Self.ownFlush else {
      if finished.end == .recalled || proof != .none {
        // The proof reads back the blocks that the flush should have covered.
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
    // The result of a read is ignored when the proof restarts or the controller has failed.
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
