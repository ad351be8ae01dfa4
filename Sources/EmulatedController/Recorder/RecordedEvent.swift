import NVMeSpec

/// A command that changed a medium, or made changes durable, as the recorder saw it.
///
/// Moments are numbered: every fetch and every completion is one later than the one before.
public struct RecordedEvent: Sendable, Equatable {
  /// What it did.
  public enum Kind: Sendable, Equatable {
    case write, writeZeroes, deallocate, flush
  }

  public var kind: Kind
  /// The namespace; `SubmissionEntry.allNamespaces` for a flush of all.
  public var namespace: UInt32
  /// The first logical block.
  public var block: UInt64
  /// The number of logical blocks.
  public var count: UInt64
  /// Whether it is durable once it has completed: FUA, or no volatile cache.
  public var isDurable: Bool
  /// The bytes of a write, empty until it was carried out.
  public var data: [UInt8]
  /// The moment at which the command was fetched.
  public var issued: Int
  /// Its place in the order in which commands were carried out; nil when it was not.
  public var executed: Int?
  /// The moment at which it completed successfully; nil when it did not.
  public var completed: Int?
}
