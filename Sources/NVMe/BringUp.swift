import NVMeSpec

/// The state of a bring-up between its steps.
struct BringUp {
  /// The deadline of the present state (ns, monotonic).
  var deadline: UInt64 = 0
  /// Until when CSTS is not to be read (ns, monotonic).
  var quietEnd: UInt64 = 0
  /// When to check again (ns, monotonic).
  var nextStep: UInt64 = 0
  /// The admin command that the present state sent.
  var command = SubmissionEntry()
  /// The end of the admin command that the present state sent, once it has come.
  var response: FinishedCommand?
  /// Identifiers of the active namespaces.
  var identifiers: [UInt32] = []
  /// How many of them have been identified.
  var identified = 0
  /// Those that could be identified.
  var namespaces: [Namespace] = []
  /// How many of the queue pairs exist again.
  var queuesCreated = 0
  /// How many bring-ups in a row have failed.
  var failures = 0
  /// The deadline for a controller that went offline to be ready again (ns, monotonic).
  var offlineEnd: UInt64?
}
