import BlockProtocol

/// What is kept of a `BlockCommand` until it has completed. Many NVMe commands may carry it out.
struct BlockRequest {
  /// The end of a list of requests.
  static let none = UInt32.max

  var tag: UInt64 = 0
  /// The next block that no NVMe command has been posted for; of a flush, the end of `UnflushedWrites` when
  /// it was posted.
  var block: UInt64 = 0
  /// The frame of that block.
  var frames: UnsafePointer<UInt32>?
  /// All of its blocks.
  var count: UInt32 = 0
  /// Blocks that no NVMe command has been posted for.
  var remaining: UInt32 = 0
  /// NVMe commands under way.
  var outstanding: UInt32 = 0
  /// The first error, 0 for none.
  var errno: Int32 = 0
  /// The next request in the list this one is in.
  var next = BlockRequest.none
  var operation = BlockCommand.Operation.read
  var forceUnitAccess = false
  /// Whether the device lost power, or was started anew, while NVMe commands of it had ended and others had
  /// not: all of it is posted again.
  var isRecalled = false
  /// How often that has been.
  var recalls: UInt8 = 0
}
