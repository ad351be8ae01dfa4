import NVMeSpec

/// The record of one command from the moment it is posted until its end is reported.
///
/// A tracker's index is in the low bits of the command identifier, so that a completion leads to it directly.
@usableFromInline
struct Tracker: BitwiseCopyable {
  @usableFromInline
  enum State: UInt8, BitwiseCopyable {
    /// In the submission queue or at the controller.
    case inFlight = 0
    /// Waiting in the list of delayed commands to be submitted again.
    case delayed = 1
    /// In the free list.
    case free = 2
  }

  /// The end of the free list and of the list of delayed commands.
  @inlinable
  static var none: UInt32 { .max }

  /// The command as it was submitted, kept so that it can be submitted again.
  @usableFromInline var command = SubmissionEntry()
  /// The caller's value, returned with the end.
  @usableFromInline var context: UInt64 = 0
  /// When the command was submitted last (in flight) or is to be submitted again (delayed): ns, monotonic.
  @usableFromInline var time: UInt64 = 0
  /// The command identifier in the low half, the state in the highest bits. In flight the state is 0, so that
  /// only the last word of a new, successful completion of this command equals the whole.
  @usableFromInline var identity = Tracker.identity(0, .free)
  /// The next tracker in the list this one is in.
  @usableFromInline var next = Tracker.none
  @usableFromInline var history = History()
  /// Rounds the size up to a power of two.
  private var padding: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)

  @usableFromInline
  init() {}

  /// The command identifier: the tracker's index and a generation above it.
  @inlinable
  var commandID: UInt16 {
    get { UInt16(truncatingIfNeeded: identity) }
    set { identity = identity & ~0xffff | UInt32(newValue) }
  }

  @inlinable
  var state: State {
    get { State(rawValue: UInt8(truncatingIfNeeded: identity &>> Self.stateShift)) ?? .free }
    set { identity = Self.identity(commandID, newValue) }
  }

  @usableFromInline static var stateShift: UInt32 { 30 }

  /// The identity of a command in a state.
  @inlinable @inline(__always)
  static func identity(_ commandID: UInt16, _ state: State) -> UInt32 {
    UInt32(commandID) | UInt32(state.rawValue) &<< stateShift
  }

  /// Retries and timeouts of a command; all zero for nearly every one.
  @usableFromInline
  struct History: BitwiseCopyable {
    /// How often the command was submitted again after a retryable status.
    var retries: UInt8 = 0
    /// How often it was submitted again after a controller reset.
    var requeues: UInt8 = 0
    /// How many of the resets it caused by its timeout.
    var timeouts: UInt8 = 0
    /// Whether an Abort command was sent for it.
    var abortSent = false
    /// Whether it exceeded its time limit since it was last submitted.
    var timedOut = false
    /// So that one store clears all of it.
    private var padding: (UInt8, UInt8, UInt8) = (0, 0, 0)

    @usableFromInline
    init() {}
  }
}
