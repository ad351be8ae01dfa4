import NVMeSpec

/// What is kept of one command from the moment it is posted until its end is reported.
///
/// A tracker's index stands in the low bits of the command identifier, so that a completion finds it at once.
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
  /// The caller's own value, given back at the end.
  @usableFromInline var context: UInt64 = 0
  /// When the command was submitted last (in flight) or is to be submitted again (delayed): ns, monotonic.
  @usableFromInline var time: UInt64 = 0
  /// The command identifier in the low half, the state in the highest bits: nothing but the identifier in
  /// flight, so that the last word of a completion with success matches the whole, and nothing else that a
  /// controller writes does.
  @usableFromInline var identity = Tracker.identity(0, .free)
  /// The next tracker in the list this one is in.
  @usableFromInline var next = Tracker.none
  @usableFromInline var history = History()
  /// A tracker begins at a multiple of a power of two.
  private var padding: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)

  @usableFromInline
  init() {}

  /// The identifier the command goes by: the tracker's index and a generation above it.
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

  /// What befell a command on its way; all zero for nearly every one.
  @usableFromInline
  struct History: BitwiseCopyable {
    /// How often the command was submitted again after a retryable status.
    var retries: UInt8 = 0
    /// How often it was submitted again after a controller reset.
    var requeues: UInt8 = 0
    /// How many of the resets it was itself the reason for.
    var timeouts: UInt8 = 0
    /// Whether an Abort command was sent for it.
    var abortSent = false
    /// Whether it outlived its time limit since it was last submitted.
    var timedOut = false
    /// So that one store makes all of it zero.
    private var padding: (UInt8, UInt8, UInt8) = (0, 0, 0)

    @usableFromInline
    init() {}
  }
}
