import BlockProtocol
import CMachine
import NVMe
import NVMeSpec

/// To the device: commands on 4 KiB blocks become NVMe commands.
extension BlockQueue {
  /// The context of a request's NVMe commands: the index of its record, and above it the number of its
  /// `BlockCommand`, for a trace.
  @inline(__always)
  private static func context(_ index: UInt32, _ number: UInt32) -> UInt64 {
    UInt64(index) | UInt64(number) &<< 32
  }

  private func context(_ index: UInt32) -> UInt64 { Self.context(index, pool[index].pointee.number) }

  /// The number of the `BlockCommand` that an NVMe command belongs to; 0 where it serves several, or none.
  static func commandNumber(ofContext context: UInt64) -> UInt32 {
    context < proofMark ? UInt32(truncatingIfNeeded: context &>> 32) : 0
  }

  /// Accepts a command; false when no record is free.
  @inline(__always)
  mutating func submit(_ command: BlockCommand) -> Bool {
    guard let index = pool.take() else { return false }
    if !submitWhole(command, index) { submitInParts(command, index) }
    return true
  }

  /// Posts a read or write as one NVMe command, the case of nearly all.
  /// - Returns: false when it needs more than one, or has to wait.
  @inline(__always)
  private mutating func submitWhole(_ command: BlockCommand, _ index: UInt32) -> Bool {
    let count = UInt64(command.count)
    guard command.operation == .read || command.operation == .write, let frames = command.frames,
      count &- 1 < wholeLimit, command.block < blockCount, count <= blockCount &- command.block,
      waiting.isEmpty,
      pair.postTransfer(
        command.operation == .read ? readOpcode : writeOpcode, namespace: namespace,
        lba: command.block &<< lbaShift, lbaCount: command.count &<< lbaShift32,
        forceUnitAccess: command.forceUnitAccess, frames: frames, count: Int(command.count), base: base,
        context: Self.context(index, command.number))
    else { return false }
    let request = pool[index]
    request.pointee.tag = command.tag
    request.pointee.number = command.number
    request.pointee.operation = command.operation
    request.pointee.forceUnitAccess = command.forceUnitAccess
    request.pointee.isRecalled = false
    request.pointee.recalls = 0
    request.pointee.block = command.block &+ count
    request.pointee.frames = frames + Int(command.count)
    request.pointee.count = command.count
    request.pointee.remaining = 0
    request.pointee.outstanding = 1
    request.pointee.errno = 0
    return true
  }

  @inline(never)
  private mutating func submitInParts(_ command: BlockCommand, _ index: UInt32) {
    // The count of a flush is ignored, as it has no blocks.
    let count = command.operation == .flush ? 0 : command.count
    pool[index].initialize(
      to: BlockRequest(
        tag: command.tag, number: command.number, block: command.block, frames: command.frames, count: count,
        remaining: count,
        operation: command.operation, forceUnitAccess: command.forceUnitAccess))
    guard isAcceptable(command) else { return end(index, errno: EIO) }
    guard isOffered(command.operation) else { return end(index, errno: EOPNOTSUPP) }
    if command.operation == .writeZeroes || command.operation == .discard { recordUnknown(index) }
    guard proof == .none || !waitsForProof(index) else { return }
    switch command.operation {
    case .read, .write:
      if !waiting.isEmpty || !postTransfers(index) { waiting.append(index, in: pool) }
    case .writeZeroes:
      if !waiting.isEmpty || !postZeroes(index) { waiting.append(index, in: pool) }
    case .verify:
      if !waiting.isEmpty || !postVerifies(index) { waiting.append(index, in: pool) }
    case .compare:
      if !waiting.isEmpty || !postTransfers(index) { waiting.append(index, in: pool) }
    case .flush: submitFlush(index)
    case .discard: discards.append(index, in: pool)
    }
  }

  /// Whether the controller supports the operation, or it needs no NVMe command.
  private func isOffered(_ operation: BlockCommand.Operation) -> Bool {
    switch operation {
    case .read, .write, .flush, .writeZeroes: true
    case .verify: canVerify
    case .compare: canCompare
    case .discard: canDiscard
    }
  }

  /// Holds a command back during a proof; after a failed proof, all but reads end at once.
  /// - Returns: whether the command was handled here.
  @inline(never)
  private mutating func waitsForProof(_ index: UInt32) -> Bool {
    let operation = pool[index].pointee.operation
    guard proof.isUnderWay else {
      guard !isPossibleAfterLoss(operation) else { return false }
      end(index, errno: EIO)
      return true
    }
    if operation == .discard {
      discards.append(index, in: pool)
    } else {
      waiting.append(index, in: pool)
    }
    return true
  }

  /// Whether an operation is still allowed after a failed proof.
  private func isPossibleAfterLoss(_ operation: BlockCommand.Operation) -> Bool {
    operation == .read || operation == .verify || operation == .compare
  }

  private mutating func submitFlush(_ index: UInt32) {
    // Without a volatile cache every completed write is durable already.
    guard hasVolatileCache else { return end(index, errno: 0) }
    if !waiting.isEmpty || !postFlush(index) { waiting.append(index, in: pool) }
  }

  /// Rings the doorbell for everything submitted.
  mutating func ring() {
    if !discards.isEmpty, proof == .none { postDiscards() }
    controller.ring(&pair)
  }

  /// Whether a command is within the device and has its frames. As in Linux' block layer, an invalid one ends
  /// with EIO.
  private func isAcceptable(_ command: BlockCommand) -> Bool {
    switch command.operation {
    case .flush: return true
    case .read, .write, .compare: guard command.frames != nil else { return false }
    case .discard, .writeZeroes, .verify: break
    }
    let count = UInt64(command.count)
    return count > 0 && command.block < blockCount && count <= blockCount &- command.block
  }

  /// Posts as much of a read, write or compare as the queue pair has room for.
  /// - Returns: whether all of it is posted.
  private mutating func postTransfers(_ index: UInt32) -> Bool {
    let request = pool[index]
    guard var frames = request.pointee.frames else { return true }
    let opcode =
      switch request.pointee.operation {
      case .read: readOpcode
      case .compare: IOOpcode.compare
      default: writeOpcode
      }
    repeat {
      let count = transferLimits.chunk(at: request.pointee.block, remaining: request.pointee.remaining)
      let posted = postPart(opcode, request, index, frames, count, base, memory)
      guard posted else { return false }
      frames += Int(count)
      request.pointee.frames = frames
      advance(request, by: count)
    } while request.pointee.remaining > 0
    return true
  }

  /// Counts one more NVMe command in flight for a request.
  @inline(__always)
  private func advance(_ request: UnsafeMutablePointer<BlockRequest>, by count: UInt32) {
    request.pointee.outstanding &+= 1
    request.pointee.block &+= UInt64(count)
    request.pointee.remaining &-= count
  }

  /// Posts as much of a write zeroes as the queue pair has room for: as Write Zeroes, or where the controller
  /// has none, as writes of zeros.
  /// - Returns: whether all of it is posted.
  private mutating func postZeroes(_ index: UInt32) -> Bool {
    let request = pool[index]
    let limits = zeros == nil ? writeZeroesLimits : transferLimits
    while request.pointee.remaining > 0 {
      let count = limits.chunk(at: request.pointee.block, remaining: request.pointee.remaining)
      guard postZeroes(index, count) else { return false }
      advance(request, by: count)
    }
    return true
  }

  private mutating func postZeroes(_ index: UInt32, _ count: UInt32) -> Bool {
    let request = pool[index]
    let lba = request.pointee.block &<< lbaShift
    let lbas = count &<< lbaShift32
    guard let zeros else {
      var command = SubmissionEntry(.writeZeroes, namespace: namespace, block: lba, count: lbas)
      command.forceUnitAccess = request.pointee.forceUnitAccess
      return pair.post(command, context: context(index)) != nil
    }
    return postPart(writeOpcode, request, index, zeroFrames, count, zeros, zerosMemory ?? memory)
  }

  /// Posts as much of a verify as the queue pair has room for.
  /// - Returns: whether all of it is posted.
  private mutating func postVerifies(_ index: UInt32) -> Bool {
    let request = pool[index]
    while request.pointee.remaining > 0 {
      let count = verifyLimits.chunk(at: request.pointee.block, remaining: request.pointee.remaining)
      let isPosted = pair.postVerify(
        namespace: namespace, lba: request.pointee.block &<< lbaShift, lbaCount: count &<< lbaShift32,
        context: context(index))
      guard isPosted else { return false }
      advance(request, by: count)
    }
    return true
  }

  /// Posts a command for the next `count` blocks of a request.
  /// - Parameters:
  ///   - frames: the numbers of their frames, whose memory begins at `base` for the device, at `memory` for
  ///     the processor.
  private mutating func postPart(
    _ opcode: IOOpcode, _ request: UnsafeMutablePointer<BlockRequest>, _ index: UInt32,
    _ frames: UnsafePointer<UInt32>, _ count: UInt32, _ base: UInt64, _ memory: UnsafeMutableRawPointer
  ) -> Bool {
    let lba = request.pointee.block &<< lbaShift
    let lbas = count &<< lbaShift32
    if isProtected {
      return pair.postProtected(
        opcode, namespace: namespace, lba: lba, lbaCount: lbas,
        forceUnitAccess: request.pointee.forceUnitAccess, frames: frames, count: Int(count), base: base,
        memory: memory, context: context(index))
    }
    return pair.postTransfer(
      opcode, namespace: namespace, lba: lba, lbaCount: lbas,
      forceUnitAccess: request.pointee.forceUnitAccess,
      frames: frames, count: Int(count), base: base, context: context(index))
  }

  private mutating func postFlush(_ index: UInt32) -> Bool {
    let flush = SubmissionEntry(.flush, namespace: namespace)
    guard pair.post(flush, context: context(index)) != nil else { return false }
    let request = pool[index]
    request.pointee.outstanding &+= 1
    request.pointee.block = unflushed.end
    return true
  }

  /// Posts the waiting requests, in their order.
  mutating func postWaiting() {
    while !waiting.isEmpty {
      let index = waiting.first
      guard !proof.isUnderWay else { return }
      if proof == .failed, !isPossibleAfterLoss(pool[index].pointee.operation) {
        pool[index].pointee.errno = EIO
      }
      let errno = pool[index].pointee.errno
      if errno != 0 {
        // Nothing more is posted of a request that has failed.
        waiting.removeFirst(in: pool)
        abandon(index, errno: errno)
        continue
      }
      let posted =
        switch pool[index].pointee.operation {
        case .flush: postFlush(index)
        case .writeZeroes: postZeroes(index)
        case .verify: postVerifies(index)
        case .read, .write, .compare, .discard: postTransfers(index)
        }
      guard posted else { return }
      waiting.removeFirst(in: pool)
    }
  }
}
