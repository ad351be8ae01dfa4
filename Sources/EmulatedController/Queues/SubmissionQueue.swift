import NVMeSpec

/// The controller's state of a submission queue.
struct SubmissionQueue {
  /// The address of the first entry.
  var address: UInt64 = 0
  /// Entries of the queue; 0 when there is no such queue.
  var entries: UInt32 = 0
  /// The next entry to fetch.
  var head: UInt32 = 0
  /// The entry after the last one the host has filled, from its doorbell.
  var tail: UInt32 = 0
  /// The completion queue of its commands.
  var completionQueue: UInt16 = 0
  /// Where the entries lie, valid while `generation` is the IOMMU's.
  var memory: UnsafeMutableRawPointer?
  var generation: UInt32 = 0

  /// Whether the queue exists.
  var exists: Bool { entries != 0 }

  /// Entries the host has filled and the controller has not fetched.
  var waiting: UInt32 { tail >= head ? tail - head : tail + entries - head }
}
