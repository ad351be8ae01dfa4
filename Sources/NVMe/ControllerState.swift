/// The state of a controller, from its first register access to its close. The states up to `ready` are
/// passed in this order, at the first bring-up as well as after a reset.
public enum ControllerState: Hashable, Sendable {
  /// CC.EN was found set while CSTS.RDY was not: enabling by a former driver has to end before the controller
  /// can be disabled.
  case awaitingFormerEnable
  /// CC.EN is 0; CSTS.RDY must follow.
  case disabling
  /// The admin queue is set and CC.EN is 1; CSTS.RDY must follow.
  case enabling
  /// Identify Controller.
  case identifyingController
  /// Identify Controller for the NVM command set: limits of Write Zeroes and Dataset Management.
  case identifyingCommandSet
  /// Set Features, Host Behavior Support: enables retry delays (ACRE).
  case settingHostBehavior
  /// Set Features, Timestamp: sets the clock of the controller's logs.
  case settingTimestamp
  /// Set Features, Host Identifier.
  case settingHostIdentifier
  /// Set Features, Number of Queues.
  case settingQueueCounts
  /// Doorbell Buffer Config: shadow doorbells.
  case configuringDoorbells
  /// Set Features, Host Memory Buffer: lends memory to a controller that asks for it.
  case lendingMemory
  /// Set Features, Asynchronous Event Configuration.
  case configuringEvents
  /// Get Features, Volatile Write Cache.
  case readingWriteCache
  /// Get Log Page, SMART / Health Information: whether power was lost.
  case readingHealth
  /// Identify, Active Namespace ID list.
  case listingNamespaces
  /// Identify Namespace, for one namespace after another.
  case identifyingNamespaces
  /// Identify Namespace for the NVM command set, for each that may have protection information with wide
  /// guards.
  case identifyingGuards
  /// Identify, Namespace Identification Descriptor list, for one namespace after another.
  case describingNamespaces
  /// Create I/O Completion Queue, for the queue pairs that existed before a reset.
  case creatingCompletionQueues
  /// Create I/O Submission Queue, for the same.
  case creatingSubmissionQueues
  /// Commands are taken.
  case ready
  /// Its registers read as all ones: the link is down, or the device is being reset from outside, or is gone.
  /// Commands wait until it answers again or `ControllerOptions.offlineTimeout` has passed.
  case offline
  /// It cannot be used any more, for the reason in `Controller.failure`; it is known not to access memory.
  case failed
  /// Closed by its owner.
  case closed
}
