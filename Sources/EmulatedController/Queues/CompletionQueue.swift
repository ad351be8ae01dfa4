import NVMeSpec

/// The controller's state of a completion queue.
struct CompletionQueue {
  /// The address of the first entry.
  var address: UInt64 = 0
  /// Entries of the queue; 0 when there is no such queue.
  var entries: UInt32 = 0
  /// The next entry the host will consume, from its doorbell.
  var head: UInt32 = 0
  /// The next entry the controller will fill.
  var tail: UInt32 = 0
  /// The phase tag of the next entry.
  var phase = true
  /// The interrupt vector.
  var vector: UInt16 = 0
  /// Whether the queue interrupts.
  var interrupts = false
  /// Whether entries were posted since the last interrupt.
  var needsInterrupt = false
  /// Whether completions wait until the host consumes entries; commands that complete here are not fetched
  /// meanwhile.
  var isStalled = false
  /// Where the entries lie, valid while `generation` is the IOMMU's.
  var memory: UnsafeMutableRawPointer?
  var generation: UInt32 = 0

  /// Whether the queue exists.
  var exists: Bool { entries != 0 }

  /// Whether no entry can be filled before the host consumes one.
  var isFull: Bool { (tail + 1 == entries ? 0 : tail + 1) == head }

  /// Entries the host has not consumed.
  var waiting: UInt32 { tail >= head ? tail - head : tail + entries - head }

  /// Advances the tail to the next entry, inverting the phase tag at the end.
  mutating func advance() {
    tail += 1
    if tail == entries {
      tail = 0
      phase.toggle()
    }
  }
}
