/// A range of a Dataset Management command, 16 bytes (NVM Command Set 1.0, section 3.2.3).
public struct DatasetManagementRange: BitwiseCopyable, Hashable, Sendable {
  /// Context attributes: hints, 0 for none.
  public var attributes: UInt32 = 0
  /// The number of logical blocks; not 0's based, 0 for an empty range.
  public var blockCount: UInt32
  /// The first logical block.
  public var startingBlock: UInt64

  /// The size of a range in bytes.
  public static let size = 16
  /// The most ranges of one command.
  public static let limit = 256

  @inlinable
  public init(block: UInt64, count: UInt32) {
    startingBlock = block
    blockCount = count
  }
}

/// The command words of Dataset Management.
extension SubmissionEntry {
  /// Dataset Management that deallocates `ranges` (1...256) ranges, which the data pointer names.
  @inlinable
  public init(deallocate ranges: Int, namespace: UInt32) {
    self.init(.datasetManagement, namespace: namespace)
    cdw10 = UInt32(truncatingIfNeeded: ranges &- 1) & 0xff
    cdw11 = 1 &<< 2
  }

  /// NR as a count: the number of ranges, 1...256 (the field itself is 0's based).
  @inlinable
  public var rangeCount: Int { Int(cdw10.field(0, 8)) + 1 }

  /// AD: deallocate the ranges.
  @inlinable
  public var deallocateRanges: Bool { cdw11.flag(2) }
}
