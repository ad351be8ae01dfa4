import CMachine
import NVMe
import NVMeSpec

/// The way down: commands on 4 KiB blocks become NVMe commands.
extension BlockQueue {
  /// Takes a command; false when there is no record free for it.
  mutating func submit(_ command: BlockCommand) -> Bool {
    guard let index = pool.take() else { return false }
    pool[index].initialize(
      to: BlockRequest(
        tag: command.tag, block: command.block, frames: command.frames, remaining: command.count,
        operation: command.operation, forceUnitAccess: command.forceUnitAccess))
    guard isAcceptable(command) else {
      end(index, errno: EIO)
      return true
    }
    switch command.operation {
    case .read, .write, .writeZeroes:
      if !waiting.isEmpty || !postBlocks(index) { waiting.append(index, in: pool) }
    case .flush: submitFlush(index)
    case .discard: submitDiscard(index)
    }
    return true
  }

  private mutating func submitFlush(_ index: UInt32) {
    // Without a volatile cache every completed write is durable already.
    guard hasVolatileCache else { return end(index, errno: 0) }
    if !waiting.isEmpty || !postFlush(index) { waiting.append(index, in: pool) }
  }

  private mutating func submitDiscard(_ index: UInt32) {
    guard canDiscard else { return end(index, errno: EOPNOTSUPP) }
    discards.append(index, in: pool)
  }

  /// Tells the controller of what was submitted.
  mutating func ring() {
    if !discards.isEmpty { postDiscards() }
    controller.ring(&pair)
  }

  /// Whether a command lies on the device and has what it needs. As in Linux' block layer, one that does not
  /// ends with EIO.
  @inline(__always)
  private func isAcceptable(_ command: BlockCommand) -> Bool {
    switch command.operation {
    case .flush: return true
    case .read, .write: guard command.frames != nil else { return false }
    case .discard, .writeZeroes: break
    }
    let count = UInt64(command.count)
    return count > 0 && command.block < blockCount && count <= blockCount &- command.block
  }

  /// Posts as much of a read, write or write zeroes as the queue pair has room for.
  /// - Returns: whether all of it is posted.
  private mutating func postBlocks(_ index: UInt32) -> Bool {
    let request = pool[index]
    let isZeroing = request.pointee.operation == .writeZeroes
    while request.pointee.remaining > 0 {
      let limits = isZeroing && zeros == nil ? writeZeroesLimits : transferLimits
      let count = limits.chunk(at: request.pointee.block, remaining: request.pointee.remaining)
      guard isZeroing ? postZeroes(index, count) : postTransfer(index, count) else { return false }
      request.pointee.outstanding &+= 1
      request.pointee.block &+= UInt64(count)
      request.pointee.remaining &-= count
    }
    return true
  }

  /// Posts a read or write of the next `count` blocks of a request.
  @inline(__always)
  private mutating func postTransfer(_ index: UInt32, _ count: UInt32) -> Bool {
    let request = pool[index]
    guard let frames = request.pointee.frames else { return false }
    let posted = pair.postTransfer(
      request.pointee.operation == .read ? readOpcode : writeOpcode, namespace: namespace,
      lba: request.pointee.block &* UInt64(lbasPerBlock), lbaCount: count &* lbasPerBlock,
      forceUnitAccess: request.pointee.forceUnitAccess, frames: frames, count: Int(count), base: base,
      context: UInt64(index))
    if posted { request.pointee.frames = frames + Int(count) }
    return posted
  }

  /// Posts a Write Zeroes of the next `count` blocks of a request, or a Write of zeros where there is none.
  private mutating func postZeroes(_ index: UInt32, _ count: UInt32) -> Bool {
    let request = pool[index]
    let lba = request.pointee.block &* UInt64(lbasPerBlock)
    let lbas = count &* lbasPerBlock
    guard let zeros else {
      var command = SubmissionEntry(.writeZeroes, namespace: namespace, block: lba, count: lbas)
      command.forceUnitAccess = request.pointee.forceUnitAccess
      return pair.post(command, context: UInt64(index)) != nil
    }
    return pair.postTransfer(
      writeOpcode, namespace: namespace, lba: lba, lbaCount: lbas,
      forceUnitAccess: request.pointee.forceUnitAccess, frames: zeroFrames, count: Int(count), base: zeros,
      context: UInt64(index))
  }

  private mutating func postFlush(_ index: UInt32) -> Bool {
    let flush = SubmissionEntry(.flush, namespace: namespace)
    guard pair.post(flush, context: UInt64(index)) != nil else { return false }
    pool[index].pointee.outstanding &+= 1
    return true
  }

  /// Posts what could not be posted before, in the order it came.
  mutating func postWaiting() {
    while !waiting.isEmpty {
      let index = waiting.first
      let errno = pool[index].pointee.errno
      if errno != 0 {
        // Of a request that failed nothing more is posted.
        waiting.removeFirst(in: pool)
        abandon(index, errno: errno)
        continue
      }
      let posted = pool[index].pointee.operation == .flush ? postFlush(index) : postBlocks(index)
      guard posted else { return }
      waiting.removeFirst(in: pool)
    }
  }
}
