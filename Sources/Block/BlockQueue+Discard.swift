import CMachine
import NVMe
import NVMeSpec

/// Discards.
extension BlockQueue {
  /// The bit that marks the context of a Dataset Management command; the other bits are its number in
  /// `deallocation`.
  static let deallocationMark: UInt64 = 1 << 63

  /// Posts the waiting discards, as far as there is room.
  mutating func postDiscards() {
    while !discards.isEmpty, pair.hasRoom, let number = deallocation.begin() {
      gather(number)
      let posted = deallocation.ranges.withUnsafeBufferPointer {
        pair.postDeallocate(namespace: namespace, ranges: $0, context: Self.deallocationMark | UInt64(number))
      }
      if !posted { endDeallocation(number, errno: EIO) }
    }
  }

  /// Gathers ranges for one command.
  private mutating func gather(_ number: Int) {
    while !discards.isEmpty {
      let index = discards.first
      let request = pool[index]
      let added = deallocation.add(request.pointee.block, request.pointee.remaining)
      guard added > 0 else { return }
      if deallocation.record(index, in: number) { request.pointee.outstanding &+= 1 }
      request.pointee.block &+= UInt64(added)
      request.pointee.remaining &-= added
      if request.pointee.remaining == 0 { discards.removeFirst(in: pool) }
    }
  }

  /// Handles the end of a Dataset Management command.
  mutating func endDeallocation(_ number: Int, errno: Int32, isRecalled: Bool = false) {
    for index in deallocation.end(number) where endPart(index, errno: errno, isRecalled: isRecalled) {
      if settle(index) { ended.append(index, in: pool) }
    }
  }
}
