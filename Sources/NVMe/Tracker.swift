import NVMeSpec

/// What is kept of one command from the moment it is posted until its end is reported.
///
/// A tracker's index stands in the low bits of the command identifier, so that a completion finds it at once.
struct Tracker: BitwiseCopyable {
  enum State: UInt8, BitwiseCopyable {
    /// In the free list.
    case free
    /// In the submission queue or at the controller.
    case inFlight
    /// Waiting in the list of delayed commands to be submitted again.
    case delayed
  }

  /// The end of the free list and of the list of delayed commands.
  static let none = UInt16.max

  /// The command as it was submitted, kept so that it can be submitted again.
  var command = SubmissionEntry()
  /// The caller's own value, given back at the end.
  var context: UInt64 = 0
  /// When the command was submitted last (in flight) or is to be submitted again (delayed): ns, monotonic.
  var time: UInt64 = 0
  /// The next tracker in the list this one is in.
  var next = Tracker.none
  /// The identifier the command goes by: the tracker's index and a generation above it.
  var commandID: UInt16 = 0
  var state = State.free
  var history = History()

  /// What befell a command on its way; all zero for nearly every one.
  struct History: BitwiseCopyable {
    /// How often the command was submitted again after a retryable status.
    var retries: UInt8 = 0
    /// How often it was submitted again after a controller reset.
    var requeues: UInt8 = 0
    /// Whether an Abort command was sent for it.
    var abortSent = false
    /// Whether it outlived its time limit and the grace given to the Abort.
    var timedOut = false
  }
}
