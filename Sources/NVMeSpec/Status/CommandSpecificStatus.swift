/// Command specific status (Base 2.0, figure 95; NVM Command Set 1.0; Zoned Namespaces 1.1).
///
/// Codes from 80h on have other meanings in other I/O command sets and over fabrics; these are those of the
/// NVM and zoned command sets.
extension StatusCode {
  /// Completion Queue Invalid.
  public static let completionQueueInvalid = StatusCode(.commandSpecific, 0x00)
  /// Invalid Queue Identifier.
  public static let invalidQueueIdentifier = StatusCode(.commandSpecific, 0x01)
  /// Invalid Queue Size.
  public static let invalidQueueSize = StatusCode(.commandSpecific, 0x02)
  /// Abort Command Limit Exceeded.
  public static let abortLimitExceeded = StatusCode(.commandSpecific, 0x03)
  /// Asynchronous Event Request Limit Exceeded.
  public static let asynchronousEventLimitExceeded = StatusCode(.commandSpecific, 0x05)
  /// Invalid Firmware Slot.
  public static let invalidFirmwareSlot = StatusCode(.commandSpecific, 0x06)
  /// Invalid Firmware Image.
  public static let invalidFirmwareImage = StatusCode(.commandSpecific, 0x07)
  /// Invalid Interrupt Vector.
  public static let invalidInterruptVector = StatusCode(.commandSpecific, 0x08)
  /// Invalid Log Page.
  public static let invalidLogPage = StatusCode(.commandSpecific, 0x09)
  /// Invalid Format.
  public static let invalidFormat = StatusCode(.commandSpecific, 0x0a)
  /// Firmware Activation Requires Conventional Reset.
  public static let firmwareNeedsConventionalReset = StatusCode(.commandSpecific, 0x0b)
  /// Invalid Queue Deletion.
  public static let invalidQueueDeletion = StatusCode(.commandSpecific, 0x0c)
  /// Feature Identifier Not Saveable.
  public static let featureNotSaveable = StatusCode(.commandSpecific, 0x0d)
  /// Feature Not Changeable.
  public static let featureNotChangeable = StatusCode(.commandSpecific, 0x0e)
  /// Feature Not Namespace Specific.
  public static let featureNotNamespaceSpecific = StatusCode(.commandSpecific, 0x0f)
  /// Firmware Activation Requires NVM Subsystem Reset.
  public static let firmwareNeedsSubsystemReset = StatusCode(.commandSpecific, 0x10)
  /// Firmware Activation Requires Controller Level Reset.
  public static let firmwareNeedsControllerReset = StatusCode(.commandSpecific, 0x11)
  /// Firmware Activation Requires Maximum Time Violation.
  public static let firmwareNeedsTimeViolation = StatusCode(.commandSpecific, 0x12)
  /// Firmware Activation Prohibited.
  public static let firmwareProhibited = StatusCode(.commandSpecific, 0x13)
  /// Overlapping Range.
  public static let overlappingRange = StatusCode(.commandSpecific, 0x14)
  /// Namespace Insufficient Capacity.
  public static let namespaceInsufficientCapacity = StatusCode(.commandSpecific, 0x15)
  /// Namespace Identifier Unavailable.
  public static let namespaceIdentifierUnavailable = StatusCode(.commandSpecific, 0x16)
  /// Namespace Already Attached.
  public static let namespaceAlreadyAttached = StatusCode(.commandSpecific, 0x18)
  /// Namespace Is Private.
  public static let namespaceIsPrivate = StatusCode(.commandSpecific, 0x19)
  /// Namespace Not Attached.
  public static let namespaceNotAttached = StatusCode(.commandSpecific, 0x1a)
  /// Thin Provisioning Not Supported.
  public static let thinProvisioningNotSupported = StatusCode(.commandSpecific, 0x1b)
  /// Controller List Invalid.
  public static let controllerListInvalid = StatusCode(.commandSpecific, 0x1c)
  /// Device Self-test In Progress.
  public static let selfTestInProgress = StatusCode(.commandSpecific, 0x1d)
  /// Boot Partition Write Prohibited.
  public static let bootPartitionWriteProhibited = StatusCode(.commandSpecific, 0x1e)
  /// Invalid Controller Identifier.
  public static let invalidControllerIdentifier = StatusCode(.commandSpecific, 0x1f)
  /// Invalid Secondary Controller State.
  public static let invalidSecondaryControllerState = StatusCode(.commandSpecific, 0x20)
  /// Invalid Number of Controller Resources.
  public static let invalidControllerResources = StatusCode(.commandSpecific, 0x21)
  /// Invalid Resource Identifier.
  public static let invalidResourceIdentifier = StatusCode(.commandSpecific, 0x22)
  /// Sanitize Prohibited While Persistent Memory Region is Enabled.
  public static let sanitizeProhibited = StatusCode(.commandSpecific, 0x23)
  /// ANA Group Identifier Invalid.
  public static let invalidANAGroup = StatusCode(.commandSpecific, 0x24)
  /// ANA Attach Failed.
  public static let anaAttachFailed = StatusCode(.commandSpecific, 0x25)
  /// Insufficient Capacity.
  public static let insufficientCapacity = StatusCode(.commandSpecific, 0x26)
  /// Namespace Attachment Limit Exceeded.
  public static let namespaceAttachmentLimit = StatusCode(.commandSpecific, 0x27)
  /// Prohibition of Command Execution Not Supported.
  public static let lockdownNotSupported = StatusCode(.commandSpecific, 0x28)
  /// I/O Command Set Not Supported.
  public static let commandSetNotSupported = StatusCode(.commandSpecific, 0x29)
  /// I/O Command Set Not Enabled.
  public static let commandSetNotEnabled = StatusCode(.commandSpecific, 0x2a)
  /// I/O Command Set Combination Rejected.
  public static let commandSetCombinationRejected = StatusCode(.commandSpecific, 0x2b)
  /// Invalid I/O Command Set.
  public static let invalidCommandSet = StatusCode(.commandSpecific, 0x2c)
  /// Identifier Unavailable.
  public static let identifierUnavailable = StatusCode(.commandSpecific, 0x2d)
  /// Conflicting Attributes.
  public static let conflictingAttributes = StatusCode(.commandSpecific, 0x80)
  /// Invalid Protection Information.
  public static let invalidProtectionInformation = StatusCode(.commandSpecific, 0x81)
  /// Attempted Write to Read Only Range.
  public static let writeToReadOnlyRange = StatusCode(.commandSpecific, 0x82)
  /// Command Size Limit Exceeded.
  public static let commandSizeLimitExceeded = StatusCode(.commandSpecific, 0x83)
  /// Zoned Boundary Error.
  public static let zoneBoundaryError = StatusCode(.commandSpecific, 0xb8)
  /// Zone Is Full.
  public static let zoneFull = StatusCode(.commandSpecific, 0xb9)
  /// Zone Is Read Only.
  public static let zoneReadOnly = StatusCode(.commandSpecific, 0xba)
  /// Zone Is Offline.
  public static let zoneOffline = StatusCode(.commandSpecific, 0xbb)
  /// Zone Invalid Write.
  public static let zoneInvalidWrite = StatusCode(.commandSpecific, 0xbc)
  /// Too Many Active Zones.
  public static let tooManyActiveZones = StatusCode(.commandSpecific, 0xbd)
  /// Too Many Open Zones.
  public static let tooManyOpenZones = StatusCode(.commandSpecific, 0xbe)
  /// Invalid Zone State Transition.
  public static let invalidZoneStateTransition = StatusCode(.commandSpecific, 0xbf)

  static let commandSpecific: [StatusDescription] = [
    .init(.completionQueueInvalid, "Completion Queue Invalid", "The completion queue named does not exist."),
    .init(
      .invalidQueueIdentifier, "Invalid Queue Identifier",
      "The queue identifier is out of range, in use, or not in use."),
    .init(.invalidQueueSize, "Invalid Queue Size", "The queue would be too small or too large."),
    .init(.abortLimitExceeded, "Abort Command Limit Exceeded", "Too many Abort commands are outstanding."),
    .init(
      .asynchronousEventLimitExceeded, "Asynchronous Event Request Limit Exceeded",
      "Too many Asynchronous Event Requests are outstanding."),
    .init(.invalidFirmwareSlot, "Invalid Firmware Slot", "The firmware slot does not exist or is read-only."),
    .init(.invalidFirmwareImage, "Invalid Firmware Image", "The firmware image is not valid."),
    .init(.invalidInterruptVector, "Invalid Interrupt Vector", "The interrupt vector does not exist."),
    .init(.invalidLogPage, "Invalid Log Page", "The log page is not supported."),
    .init(.invalidFormat, "Invalid Format", "The LBA format or its options are not supported."),
    .init(
      .firmwareNeedsConventionalReset, "Firmware Activation Requires Conventional Reset",
      "The new firmware runs after a conventional reset."),
    .init(
      .invalidQueueDeletion, "Invalid Queue Deletion",
      "A submission queue still uses the completion queue."),
    .init(.featureNotSaveable, "Feature Identifier Not Saveable", "The feature cannot be saved."),
    .init(.featureNotChangeable, "Feature Not Changeable", "The feature cannot be changed."),
    .init(
      .featureNotNamespaceSpecific, "Feature Not Namespace Specific",
      "The feature belongs to the controller, not to a namespace."),
    .init(
      .firmwareNeedsSubsystemReset, "Firmware Activation Requires NVM Subsystem Reset",
      "The new firmware runs after a subsystem reset."),
    .init(
      .firmwareNeedsControllerReset, "Firmware Activation Requires Controller Level Reset",
      "The new firmware runs after a controller reset."),
    .init(
      .firmwareNeedsTimeViolation, "Firmware Activation Requires Maximum Time Violation",
      "Activation would take longer than MTFA."),
    .init(.firmwareProhibited, "Firmware Activation Prohibited", "The firmware image may not be activated."),
    .init(.overlappingRange, "Overlapping Range", "Ranges of the command overlap."),
    .init(
      .namespaceInsufficientCapacity, "Namespace Insufficient Capacity",
      "There is no room for the namespace."),
    .init(
      .namespaceIdentifierUnavailable, "Namespace Identifier Unavailable",
      "No namespace identifier is left."),
    .init(
      .namespaceAlreadyAttached, "Namespace Already Attached",
      "The controller has the namespace already."),
    .init(.namespaceIsPrivate, "Namespace Is Private", "The namespace belongs to another controller."),
    .init(.namespaceNotAttached, "Namespace Not Attached", "The controller does not have the namespace."),
    .init(
      .thinProvisioningNotSupported, "Thin Provisioning Not Supported",
      "A namespace must be fully provisioned."),
    .init(.controllerListInvalid, "Controller List Invalid", "The controller list is not valid."),
    .init(.selfTestInProgress, "Device Self-test In Progress", "A self-test is running."),
    .init(.bootPartitionWriteProhibited, "Boot Partition Write Prohibited", "The boot partition is locked."),
    .init(
      .invalidControllerIdentifier, "Invalid Controller Identifier",
      "The controller identifier is not valid."),
    .init(
      .invalidSecondaryControllerState, "Invalid Secondary Controller State",
      "The secondary controller is in the wrong state."),
    .init(
      .invalidControllerResources, "Invalid Number of Controller Resources",
      "The number of controller resources is not valid."),
    .init(.invalidResourceIdentifier, "Invalid Resource Identifier", "The resource identifier is not valid."),
    .init(
      .sanitizeProhibited, "Sanitize Prohibited While Persistent Memory Region is Enabled",
      "The persistent memory region must be disabled first."),
    .init(.invalidANAGroup, "ANA Group Identifier Invalid", "The asymmetric access group does not exist."),
    .init(.anaAttachFailed, "ANA Attach Failed", "The namespace cannot be attached in its access state."),
    .init(.insufficientCapacity, "Insufficient Capacity", "There is no room for the request."),
    .init(
      .namespaceAttachmentLimit, "Namespace Attachment Limit Exceeded",
      "Too many namespaces are attached."),
    .init(
      .lockdownNotSupported, "Prohibition of Command Execution Not Supported",
      "The command cannot be locked."),
    .init(.commandSetNotSupported, "I/O Command Set Not Supported", "The I/O command set is not supported."),
    .init(.commandSetNotEnabled, "I/O Command Set Not Enabled", "The I/O command set is not enabled."),
    .init(
      .commandSetCombinationRejected, "I/O Command Set Combination Rejected",
      "The I/O command sets cannot be used together."),
    .init(.invalidCommandSet, "Invalid I/O Command Set", "The namespace has another I/O command set."),
    .init(.identifierUnavailable, "Identifier Unavailable", "The identifier is in use."),
    .init(
      .conflictingAttributes, "Conflicting Attributes",
      "Attributes of the command contradict each other."),
    .init(
      .invalidProtectionInformation, "Invalid Protection Information",
      "The protection information settings do not fit the format."),
    .init(.writeToReadOnlyRange, "Attempted Write to Read Only Range", "The range may not be written."),
    .init(
      .commandSizeLimitExceeded, "Command Size Limit Exceeded",
      "The command is longer than the controller allows."),
    .init(.zoneBoundaryError, "Zoned Boundary Error", "The command crosses a zone's end."),
    .init(.zoneFull, "Zone Is Full", "The zone has no room left."),
    .init(.zoneReadOnly, "Zone Is Read Only", "The zone may not be written."),
    .init(.zoneOffline, "Zone Is Offline", "The zone cannot be used."),
    .init(.zoneInvalidWrite, "Zone Invalid Write", "The write is not at the zone's write pointer."),
    .init(.tooManyActiveZones, "Too Many Active Zones", "No more zones may be active."),
    .init(.tooManyOpenZones, "Too Many Open Zones", "No more zones may be open."),
    .init(.invalidZoneStateTransition, "Invalid Zone State Transition", "The zone cannot go to that state."),
  ]
}
