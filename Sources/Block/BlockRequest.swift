import BlockProtocol

/// The record of a `BlockCommand` until it has completed. Many NVMe commands may carry it out.
struct BlockRequest {
  /// The end of a list of requests.
  static let none = UInt32.max

  var tag: UInt64 = 0
  /// The command's number in a trace.
  var number: UInt32 = 0
  /// The next block to post; for a flush, the end of `UnflushedWrites` when it was posted.
  var block: UInt64 = 0
  /// The frame of that block.
  var frames: UnsafePointer<UInt32>?
  /// The number of its blocks.
  var count: UInt32 = 0
  /// The number of blocks not posted yet.
  var remaining: UInt32 = 0
  /// NVMe commands in flight.
  var outstanding: UInt32 = 0
  /// The first error, 0 for none.
  var errno: Int32 = 0
  /// The next request in the list this one is in.
  var next = BlockRequest.none
  var operation = BlockCommand.Operation.read
  var forceUnitAccess = false
  /// Whether the device lost power, or was restarted, before all its NVMe commands had ended: the whole
  /// request is posted again.
  var isRecalled = false
  /// How often that has happened.
  var recalls: UInt8 = 0
}
