import CMachine
import NVMe
import NVMeSpec
import PCI

/// The way down: commands become NVMe commands.
extension NamespaceDevice {
  public func submit(_ command: BlockCommand) -> Bool {
    guard let index = pool.take() else { return false }
    let request = pool[index]
    request.initialize(
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
    case .flush:
      // Without a volatile cache every completed write is durable already.
      guard hasVolatileCache else {
        end(index, errno: 0)
        break
      }
      if !waiting.isEmpty || !postFlush(index) { waiting.append(index, in: pool) }
    case .discard:
      guard canDiscard else {
        end(index, errno: EOPNOTSUPP)
        break
      }
      discards.append(index, in: pool)
    }
    return true
  }

  public func ring() {
    if !discards.isEmpty { postDiscards() }
    controller.ring(&queue.pointee)
  }

  /// Whether a command lies on the device and has what it needs. As in Linux' block layer, one that does not
  /// ends with EIO.
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
  func postBlocks(_ index: UInt32) -> Bool {
    let request = pool[index]
    while request.pointee.remaining > 0 {
      let isZeroing = request.pointee.operation == .writeZeroes && zeros == nil
      let limits = isZeroing ? writeZeroesLimits : transferLimits
      let count = limits.chunk(at: request.pointee.block, remaining: request.pointee.remaining)
      let posted = isZeroing ? postZeroes(index, count) : postTransfer(index, count)
      guard posted else { return false }
      request.pointee.outstanding &+= 1
      request.pointee.block &+= UInt64(count)
      request.pointee.remaining &-= count
      if let frames = request.pointee.frames { request.pointee.frames = frames + Int(count) }
    }
    return true
  }

  @inline(__always)
  private func postTransfer(_ index: UInt32, _ count: UInt32) -> Bool {
    let request = pool[index]
    let zeroing = request.pointee.operation == .writeZeroes
    let frames = request.pointee.frames ?? UnsafePointer(zeroFrames)
    let base = zeroing ? zeros?.iova ?? 0 : arena.iova
    return queue.pointee.postTransfer(
      request.pointee.operation == .read ? .read : .write, namespace: namespace.identifier,
      lba: request.pointee.block &<< lbaShift, lbaCount: count &* lbasPerBlock,
      forceUnitAccess: request.pointee.forceUnitAccess, frames: frames, count: Int(count), base: base,
      context: UInt64(index))
  }

  private func postZeroes(_ index: UInt32, _ count: UInt32) -> Bool {
    let request = pool[index]
    var command = SubmissionEntry(
      .writeZeroes, namespace: namespace.identifier, block: request.pointee.block &<< lbaShift,
      count: count &* lbasPerBlock)
    command.forceUnitAccess = request.pointee.forceUnitAccess
    return queue.pointee.post(command, context: UInt64(index)) != nil
  }

  func postFlush(_ index: UInt32) -> Bool {
    let flush = SubmissionEntry(.flush, namespace: namespace.identifier)
    guard queue.pointee.post(flush, context: UInt64(index)) != nil else { return false }
    pool[index].pointee.outstanding &+= 1
    return true
  }

  /// Posts what could not be posted before, in the order it came.
  func postWaiting() {
    while !waiting.isEmpty {
      let index = waiting.first
      // Of a request that failed nothing more is posted.
      let errno = pool[index].pointee.errno
      guard errno == 0 else {
        abandonFirst(of: &waiting, errno: errno)
        continue
      }
      let posted = pool[index].pointee.operation == .flush ? postFlush(index) : postBlocks(index)
      guard posted else { return }
      waiting.removeFirst(in: pool)
    }
  }
}
