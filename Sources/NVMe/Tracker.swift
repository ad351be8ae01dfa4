import NVMeSpec

/// What is kept of one command from the moment it is posted until its end is reported.
///
/// A tracker's index stands in the low bits of the command identifier, so that a completion finds it at once.
@usableFromInline
struct Tracker: BitwiseCopyable {
  @usableFromInline
  enum State: UInt8, BitwiseCopyable {
    /// In the submission queue or at the controller.
    case inFlight
    /// In the free list.
    case free
    /// Waiting in the list of delayed commands to be submitted again.
    case delayed
  }

  /// The end of the free list and of the list of delayed commands.
  @inlinable
  static var none: UInt16 { .max }

  /// The command as it was submitted, kept so that it can be submitted again.
  @usableFromInline var command = SubmissionEntry()
  /// The caller's own value, given back at the end.
  @usableFromInline var context: UInt64 = 0
  /// When the command was submitted last (in flight) or is to be submitted again (delayed): ns, monotonic.
  @usableFromInline var time: UInt64 = 0
  /// The command identifier in the low half, the state in the high one: 0 in flight, so that the last word of a
  /// completion with success matches the whole, and nothing else that a controller writes does.
  @usableFromInline var identity = Tracker.identity(0, .free)
  /// The next tracker in the list this one is in, and above it what befell the command: one store sets both.
  @usableFromInline var link = UInt64(Tracker.none)
  /// A tracker begins at a multiple of a power of two.
  private var padding: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)

  @usableFromInline
  init() {}

  /// The identifier the command goes by: the tracker's index and a generation above it.
  @inlinable
  var commandID: UInt16 {
    get { UInt16(truncatingIfNeeded: identity) }
    set { identity = identity & ~0xffff | UInt64(newValue) }
  }

  @inlinable
  var state: State {
    get { State(rawValue: UInt8(truncatingIfNeeded: identity &>> 32)) ?? .free }
    set { identity = Self.identity(commandID, newValue) }
  }

  /// The identity of a command in a state.
  @inlinable @inline(__always)
  static func identity(_ commandID: UInt16, _ state: State) -> UInt64 {
    UInt64(commandID) | UInt64(state.rawValue) &<< 32
  }

  @inlinable
  var next: UInt16 {
    get { UInt16(truncatingIfNeeded: link) }
    set { link = link & ~0xffff | UInt64(newValue) }
  }

  var history: History {
    get { History(bits: link &>> 16) }
    set { link = link & 0xffff | newValue.bits &<< 16 }
  }

  /// What befell a command on its way, in 48 bits; all zero for nearly every one.
  struct History: BitwiseCopyable {
    fileprivate var bits: UInt64

    /// How often the command was submitted again after a retryable status.
    var retries: UInt8 {
      get { UInt8(truncatingIfNeeded: bits.field(0, 8)) }
      set { bits.setField(0, 8, UInt64(newValue)) }
    }
    /// How often it was submitted again after a controller reset.
    var requeues: UInt8 {
      get { UInt8(truncatingIfNeeded: bits.field(8, 8)) }
      set { bits.setField(8, 8, UInt64(newValue)) }
    }
    /// How many of the resets it was itself the reason for.
    var timeouts: UInt8 {
      get { UInt8(truncatingIfNeeded: bits.field(16, 8)) }
      set { bits.setField(16, 8, UInt64(newValue)) }
    }
    /// Whether an Abort command was sent for it.
    var abortSent: Bool {
      get { bits.flag(24) }
      set { bits.setFlag(24, newValue) }
    }
    /// Whether it outlived its time limit since it was last submitted.
    var timedOut: Bool {
      get { bits.flag(25) }
      set { bits.setFlag(25, newValue) }
    }
  }
}

extension Tracker.History {
  /// Nothing.
  init() { bits = 0 }
}
