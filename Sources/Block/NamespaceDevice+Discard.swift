import CMachine
import NVMe
import NVMeSpec

/// Discards, gathered into as few Dataset Management commands as the controller's limits allow.
extension NamespaceDevice {
  /// Marks the context of a Dataset Management command, which is the number of its batch.
  static let batchMark: UInt64 = 1 << 63

  /// Posts the discards that wait.
  func postDiscards() {
    while !discards.isEmpty, queue.pointee.hasRoom, let number = freeBatches.popLast() {
      fill(number)
      let posted = ranges.withUnsafeBufferPointer {
        queue.pointee.postDeallocate(
          namespace: namespace.identifier, ranges: $0, context: Self.batchMark | UInt64(number))
      }
      if !posted { endBatch(number, errno: EIO) }
    }
  }

  /// Gathers ranges for one command.
  private func fill(_ number: Int) {
    let capabilities = controller.capabilities
    ranges.removeAll(keepingCapacity: true)
    var room = capabilities.deallocateBlocks
    while !discards.isEmpty {
      let index = discards.first
      let request = pool[index]
      let most = min(UInt64(capabilities.deallocateRangeBlocks), room) >> lbaShift
      let count = UInt32(truncatingIfNeeded: min(UInt64(request.pointee.remaining), most))
      guard add(request.pointee.block, count, capabilities) else { return }
      if batches[number].append(index) { request.pointee.outstanding &+= 1 }
      room -= UInt64(count) << lbaShift
      request.pointee.block &+= UInt64(count)
      request.pointee.remaining &-= count
      if request.pointee.remaining == 0 { discards.removeFirst(in: pool) }
      if room < UInt64(lbasPerBlock) { return }
    }
  }

  /// Adds a range, to the last one where it goes on there.
  /// - Returns: false when the command has no room for it.
  private func add(_ block: UInt64, _ count: UInt32, _ capabilities: Capabilities) -> Bool {
    let lba = block << lbaShift
    let lbas = count << UInt32(truncatingIfNeeded: lbaShift)
    if let last = ranges.last, last.startingBlock + UInt64(last.blockCount) == lba,
      last.blockCount <= capabilities.deallocateRangeBlocks - lbas
    {
      ranges[ranges.count - 1].blockCount += lbas
      return true
    }
    guard ranges.count < capabilities.deallocateRanges else { return false }
    ranges.append(DatasetManagementRange(block: lba, count: lbas))
    return true
  }

  /// A Dataset Management command has ended.
  func endBatch(_ number: Int, errno: Int32) {
    for index in batches[number].requests { endPart(index, errno: errno) }
    batches[number].removeAll()
    freeBatches.append(number)
  }
}
