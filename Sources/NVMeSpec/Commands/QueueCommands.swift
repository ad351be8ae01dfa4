/// The command words of the commands that make and delete I/O queues (Base 2.0, sections 5.3 to 5.6).
extension SubmissionEntry {
  /// Create I/O Completion Queue `queue` of `entries` entries in contiguous memory at `address`.
  /// - Parameter vector: the interrupt vector; nil for a queue without interrupts.
  public init(createCompletionQueue queue: UInt16, entries: Int, at address: UInt64, vector: UInt16?) {
    self.init(.createCompletionQueue)
    prp1 = address
    cdw10 = Self.queueWord(queue, entries)
    cdw11 = 1 | (vector.map { UInt32($0) << 16 | 2 } ?? 0)
  }

  /// Create I/O Submission Queue `queue` of `entries` entries in contiguous memory at `address`.
  /// - Parameter priority: QPRIO: 0 urgent, 1 high, 2 medium, 3 low; the controller ignores it without
  ///   weighted arbitration.
  public init(
    createSubmissionQueue queue: UInt16, entries: Int, at address: UInt64, completionQueue: UInt16,
    priority: UInt8 = 0
  ) {
    self.init(.createSubmissionQueue)
    prp1 = address
    cdw10 = Self.queueWord(queue, entries)
    cdw11 = UInt32(completionQueue) << 16 | UInt32(priority & 3) << 1 | 1
  }

  /// Delete I/O Submission Queue `queue`.
  public init(deleteSubmissionQueue queue: UInt16) {
    self.init(.deleteSubmissionQueue)
    cdw10 = UInt32(queue)
  }

  /// Delete I/O Completion Queue `queue`.
  public init(deleteCompletionQueue queue: UInt16) {
    self.init(.deleteCompletionQueue)
    cdw10 = UInt32(queue)
  }

  /// QID, of the commands that create or delete queues.
  public var queueIdentifier: UInt16 { UInt16(truncatingIfNeeded: cdw10) }
  /// QSIZE as a count of entries (the field itself is 0's based).
  public var queueEntries: Int { Int(cdw10.field(16, 16)) + 1 }
  /// PC: the queue's memory is contiguous.
  public var physicallyContiguous: Bool { cdw11.flag(0) }
  /// IEN, of Create I/O Completion Queue: the queue interrupts.
  public var interruptsEnabled: Bool { cdw11.flag(1) }
  /// IV, of Create I/O Completion Queue: the interrupt vector.
  public var interruptVector: UInt16 { UInt16(truncatingIfNeeded: cdw11.field(16, 16)) }
  /// CQID, of Create I/O Submission Queue: the completion queue of its commands.
  public var completionQueueIdentifier: UInt16 { UInt16(truncatingIfNeeded: cdw11.field(16, 16)) }

  private static func queueWord(_ queue: UInt16, _ entries: Int) -> UInt32 {
    UInt32(truncatingIfNeeded: entries &- 1) << 16 | UInt32(queue)
  }
}
