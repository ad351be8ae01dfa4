import NVMeSpec

/// What the bring-up keeps between its steps.
struct BringUp {
  /// When the present state must be over (ns, monotonic).
  var deadline: UInt64 = 0
  /// Until when CSTS is not to be read (ns, monotonic).
  var quietEnd: UInt64 = 0
  /// When to look again (ns, monotonic).
  var nextStep: UInt64 = 0
  /// The admin command that the present state sent.
  var command = SubmissionEntry()
  /// The end of the admin command that the present state sent, once it has come.
  var response: FinishedCommand?
  /// Identifiers of the active namespaces.
  var identifiers: [UInt32] = []
  /// How many of them have been identified.
  var identified = 0
  /// What is known of those that can be identified.
  var namespaces: [Namespace] = []
  /// How many of the queue pairs exist again.
  var queuesCreated = 0
  /// How many bring-ups in a row have failed.
  var failures = 0
  /// Until when a controller that is offline is waited for (ns, monotonic), from the moment it was found so
  /// until it is ready again.
  var offlineEnd: UInt64?
}
