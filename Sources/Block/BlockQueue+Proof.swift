import BlockCRC
import CMachine
import Glibc
import NVMe
import NVMeSpec
import PCI

/// How far the proof has come that a device still holds what was written to it although it lost power, or was started
/// anew.
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

/// What is not flushed is accounted for; after a loss of power it is read back. A flush succeeds only when what it covers
/// is there.
extension BlockQueue {
  /// Marks the context of a read for a proof, which is the number of its frame.
  static let proofMark: UInt64 = 1 << 62
  /// The context of a flush that only makes room for further entries.
  private static let ownFlush = proofMark | 1 << 32

  /// The checksum of a block.
  static func checksum(_ block: UnsafeMutableRawPointer) -> UInt32 { BlockCRC.run(.max, block) }

  // MARK: The account

  /// A request has ended with success.
  /// - Returns: whether its end is to be reported. What a loss of power overtook is carried out again; so is what would be durable by
  ///   it, which counts only when what was durable before is there.
  @inline(__always)
  mutating func settle(_ index: UInt32) -> Bool {
    let request = pool[index]
    switch request.pointee.operation {
    case .write: return settleWrite(index)
    case .flush: return settleFlush(index)
    default: return !request.pointee.isRecalled || restart(index)
    }
  }

  @inline(never)
  private mutating func settleWrite(_ index: UInt32) -> Bool {
    let request = pool[index]
    let isDurable = request.pointee.forceUnitAccess || !hasVolatileCache
    guard !request.pointee.isRecalled, proof == .none || !isDurable else { return restart(index) }
    if keepsAccount { noteWrite(request) }
    return true
  }

  private mutating func settleFlush(_ index: UInt32) -> Bool {
    let request = pool[index]
    guard !request.pointee.isRecalled, proof == .none else { return restart(index) }
    // Where its end was noted when it was posted.
    unflushed.noteFlushed(request.pointee.block)
    return true
  }

  /// Makes a request wait as it was when it was submitted.
  /// - Returns: false.
  private mutating func restart(_ index: UInt32) -> Bool {
    let request = pool[index]
    let done = request.pointee.count - request.pointee.remaining
    request.pointee.block &-= UInt64(done)
    request.pointee.frames? -= Int(done)
    request.pointee.remaining = request.pointee.count
    request.pointee.isRecalled = false
    if request.pointee.operation == .discard {
      discards.append(index, in: pool)
    } else {
      waiting.append(index, in: pool)
    }
    return false
  }

  private mutating func noteWrite(_ request: UnsafeMutablePointer<BlockRequest>) {
    let count = Int(request.pointee.count)
    guard let end = request.pointee.frames else { return }
    let (first, frames) = (request.pointee.block &- UInt64(count), end - count)
    for offset in 0..<count {
      unflushed.append(
        UnflushedWrites.Entry(
          block: first &+ UInt64(offset), count: 1,
          checksum: Self.checksum(memory + Int(frames[offset]) * DMAArena.frameSize), isData: true))
    }
    if !hasVolatileCache { unflushed.noteFlushed(unflushed.end) } else if unflushed.wantsFlush { makeRoom() }
  }

  /// Has the device flush, so that entries are not lost before what they stand for is durable.
  private mutating func makeRoom() {
    guard ownFlushPlace == nil, proof == .none else { return }
    let flush = SubmissionEntry(.flush, namespace: namespace)
    if pair.post(flush, context: Self.ownFlush) != nil { ownFlushPlace = unflushed.end }
  }

  /// Blocks are discarded or filled with zeros.
  mutating func noteUnknown(_ command: BlockCommand) {
    guard keepsAccount else { return }
    if command.operation == .discard {
      unflushed.append(
        UnflushedWrites.Entry(block: command.block, count: command.count, checksum: 0, isData: false))
    } else {
      unflushed.noteUnprovable(command.block, command.count)
    }
    if !hasVolatileCache { unflushed.noteFlushed(unflushed.end) }
  }

  // MARK: The proof

  /// The device lost power, or was started anew: nothing is posted any more until it was looked at.
  @inline(never)
  mutating func beginProof() {
    cacheLosses = controller.cacheLosses
    guard proof != .failed else { return }
    proof = .begun
    wholeLimit = 0
    // Of what was posted in part, that part may be lost.
    for list in [waiting, discards] where !list.isEmpty {
      let first = pool[list.first]
      if first.pointee.remaining < first.pointee.count { first.pointee.isRecalled = true }
    }
  }

  /// Goes on with a proof as far as the queue pair has room.
  @inline(never)
  mutating func goOnProving() {
    if proof == .begun { beginReading() }
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
    guard keepsAccount, unflushed.isComplete else {
      return failProof("more was written than can be looked for")
    }
    if readBack == nil { readBack = try? ReadBack(controller.function) }
    guard readBack != nil else { return failProof("there is no memory to look for it") }
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
      if finished.errno == 0, proof == .none, let ownFlushPlace { unflushed.noteFlushed(ownFlushPlace) }
      ownFlushPlace = nil
      return
    }
    guard let readBack else { return }
    let frame = Int(finished.context & ~Self.proofMark)
    let place = readBack.give(frame)
    if case .reading = proof {
      let entry = unflushed[place]
      let isThere =
        finished.errno == 0 && Self.checksum(readBack.arena.pointer(UInt32(frame))) == entry.checksum
      if !isThere, finished.errno != 0 || !unflushed.isOutdated(place) { failProof("block \(entry.block)") }
    }
    if !proof.isUnderWay, readBack.isIdle { self.readBack = nil }
  }

  private mutating func endProof() {
    proof = .none
    readBack = nil
    wholeLimit = wholeLimitOfReadyDevice
    goOn()
  }

  private mutating func failProof(_ missing: String) {
    proof = .failed
    loss = missing
    if let readBack, readBack.isIdle { self.readBack = nil }
    goOn()
  }
}
