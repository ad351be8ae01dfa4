/// Counters of a queue pair since it was made. All counts only grow.
public struct QueueCounters: Sendable, Equatable {
  /// Commands submitted by the layer above (a retry is not counted again).
  public var submitted: UInt64 = 0
  /// Commands whose end was reported, successful or not.
  public var completed: UInt64 = 0
  /// Commands whose end was an error.
  public var errors: UInt64 = 0
  /// Commands submitted again after a retryable status.
  public var retries: UInt64 = 0
  /// Commands submitted again because the controller was reset while they were in flight.
  public var requeues: UInt64 = 0
  /// Commands that took longer than the time limit.
  public var timeouts: UInt64 = 0
  /// Stores to the submission queue's tail doorbell.
  public var submissionDoorbells: UInt64 = 0
  /// Stores to the completion queue's head doorbell.
  public var completionDoorbells: UInt64 = 0
  /// Doorbells that needed no store, since the controller polls their shadows.
  public var savedDoorbells: UInt64 = 0
  /// Commands stored into the controller's memory buffer, each of which it would otherwise have fetched from
  /// the host's memory (64 bytes); those submitted again are counted again.
  public var bufferedCommands: UInt64 = 0
  /// Commands of more than two frames with a PRP list, with one SGL descriptor, and with an SGL segment.
  public var prpLists: UInt64 = 0
  public var sglBlocks: UInt64 = 0
  public var sglSegments: UInt64 = 0
  /// Reads whose protection information did not match in the driver's check.
  public var protectionErrors: UInt64 = 0
  /// Completions whose command identifier belongs to no command in flight; they are ignored.
  public var badCommandIDs: UInt64 = 0
  /// Times the controller had skipped a completion entry or written it with a wrong phase tag; the controller
  /// is reset.
  public var skippedCompletions: UInt64 = 0
  /// Completions whose submission queue head is not among the entries the controller may have fetched; the
  /// command counts as completed.
  public var badQueueHeads: UInt64 = 0

  public init() {}
}
