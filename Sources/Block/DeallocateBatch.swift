import NVMeSpec

/// One Dataset Management command under way: the requests that have ranges in it.
///
/// Discards that are submitted together share a command, up to its limit of ranges; a large discard may need
/// several commands.
struct DeallocateBatch {
  /// The requests, one for each range that was given to the command.
  private(set) var requests: [UInt32] = []

  init() { requests.reserveCapacity(DatasetManagementRange.limit) }

  /// Notes a request; one that follows itself is noted once.
  /// - Returns: whether it was new.
  mutating func append(_ request: UInt32) -> Bool {
    guard requests.last != request else { return false }
    requests.append(request)
    return true
  }

  /// Empties the batch, keeping its room.
  mutating func removeAll() { requests.removeAll(keepingCapacity: true) }
}
