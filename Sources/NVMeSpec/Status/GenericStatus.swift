/// Generic command status (Base 2.0, figure 94; NVM Command Set 1.0, section 3.1.1; Key Value 1.0).
extension StatusCode {
  /// Successful Completion.
  public static let success = StatusCode(.generic, 0x00)
  /// Invalid Command Opcode.
  public static let invalidOpcode = StatusCode(.generic, 0x01)
  /// Invalid Field in Command.
  public static let invalidField = StatusCode(.generic, 0x02)
  /// Command ID Conflict.
  public static let commandIdentifierConflict = StatusCode(.generic, 0x03)
  /// Data Transfer Error.
  public static let dataTransferError = StatusCode(.generic, 0x04)
  /// Commands Aborted due to Power Loss Notification.
  public static let powerLossAbort = StatusCode(.generic, 0x05)
  /// Internal Error.
  public static let internalError = StatusCode(.generic, 0x06)
  /// Command Abort Requested.
  public static let abortRequested = StatusCode(.generic, 0x07)
  /// Command Aborted due to SQ Deletion.
  public static let submissionQueueDeleted = StatusCode(.generic, 0x08)
  /// Command Aborted due to Failed Fused Command.
  public static let fusedCommandFailed = StatusCode(.generic, 0x09)
  /// Command Aborted due to Missing Fused Command.
  public static let fusedCommandMissing = StatusCode(.generic, 0x0a)
  /// Invalid Namespace or Format.
  public static let invalidNamespaceOrFormat = StatusCode(.generic, 0x0b)
  /// Command Sequence Error.
  public static let commandSequenceError = StatusCode(.generic, 0x0c)
  /// Invalid SGL Segment Descriptor.
  public static let invalidSGLSegmentDescriptor = StatusCode(.generic, 0x0d)
  /// Invalid Number of SGL Descriptors.
  public static let invalidSGLDescriptorCount = StatusCode(.generic, 0x0e)
  /// Data SGL Length Invalid.
  public static let dataSGLLengthInvalid = StatusCode(.generic, 0x0f)
  /// Metadata SGL Length Invalid.
  public static let metadataSGLLengthInvalid = StatusCode(.generic, 0x10)
  /// SGL Descriptor Type Invalid.
  public static let sglDescriptorTypeInvalid = StatusCode(.generic, 0x11)
  /// Invalid Use of Controller Memory Buffer.
  public static let invalidUseOfMemoryBuffer = StatusCode(.generic, 0x12)
  /// PRP Offset Invalid.
  public static let invalidPRPOffset = StatusCode(.generic, 0x13)
  /// Atomic Write Unit Exceeded.
  public static let atomicWriteUnitExceeded = StatusCode(.generic, 0x14)
  /// Operation Denied.
  public static let operationDenied = StatusCode(.generic, 0x15)
  /// SGL Offset Invalid.
  public static let sglOffsetInvalid = StatusCode(.generic, 0x16)
  /// Host Identifier Inconsistent Format.
  public static let hostIdentifierInconsistent = StatusCode(.generic, 0x18)
  /// Keep Alive Timer Expired.
  public static let keepAliveExpired = StatusCode(.generic, 0x19)
  /// Keep Alive Timeout Invalid.
  public static let keepAliveTimeoutInvalid = StatusCode(.generic, 0x1a)
  /// Command Aborted due to Preempt and Abort.
  public static let preemptAbort = StatusCode(.generic, 0x1b)
  /// Sanitize Failed.
  public static let sanitizeFailed = StatusCode(.generic, 0x1c)
  /// Sanitize In Progress.
  public static let sanitizeInProgress = StatusCode(.generic, 0x1d)
  /// SGL Data Block Granularity Invalid.
  public static let sglDataBlockGranularityInvalid = StatusCode(.generic, 0x1e)
  /// Command Not Supported for Queue in CMB.
  public static let notSupportedInMemoryBuffer = StatusCode(.generic, 0x1f)
  /// Namespace is Write Protected.
  public static let namespaceWriteProtected = StatusCode(.generic, 0x20)
  /// Command Interrupted.
  public static let commandInterrupted = StatusCode(.generic, 0x21)
  /// Transient Transport Error.
  public static let transientTransportError = StatusCode(.generic, 0x22)
  /// Command Prohibited by Command and Feature Lockdown.
  public static let prohibitedByLockdown = StatusCode(.generic, 0x23)
  /// Admin Command Media Not Ready.
  public static let mediaNotReady = StatusCode(.generic, 0x24)
  /// LBA Out of Range.
  public static let lbaOutOfRange = StatusCode(.generic, 0x80)
  /// Capacity Exceeded.
  public static let capacityExceeded = StatusCode(.generic, 0x81)
  /// Namespace Not Ready.
  public static let namespaceNotReady = StatusCode(.generic, 0x82)
  /// Reservation Conflict.
  public static let reservationConflict = StatusCode(.generic, 0x83)
  /// Format In Progress.
  public static let formatInProgress = StatusCode(.generic, 0x84)
  /// Invalid Value Size.
  public static let invalidValueSize = StatusCode(.generic, 0x85)
  /// Invalid Key Size.
  public static let invalidKeySize = StatusCode(.generic, 0x86)
  /// KV Key Does Not Exist.
  public static let keyDoesNotExist = StatusCode(.generic, 0x87)
  /// Unrecovered Error.
  public static let unrecoveredError = StatusCode(.generic, 0x88)
  /// Key Exists.
  public static let keyExists = StatusCode(.generic, 0x89)

  static let generic: [StatusDescription] = [
    .init(.success, "Successful Completion", "The command completed without error."),
    .init(.invalidOpcode, "Invalid Command Opcode", "The controller does not know the command."),
    .init(.invalidField, "Invalid Field in Command", "A field of the command is reserved or not supported."),
    .init(
      .commandIdentifierConflict, "Command ID Conflict",
      "The command identifier is already in use on the queue."),
    .init(
      .dataTransferError, "Data Transfer Error",
      "The command's data or metadata could not be transferred."),
    .init(.powerLossAbort, "Commands Aborted due to Power Loss Notification", "Power is about to go."),
    .init(.internalError, "Internal Error", "The controller failed within."),
    .init(.abortRequested, "Command Abort Requested", "An Abort command ended the command."),
    .init(.submissionQueueDeleted, "Command Aborted due to SQ Deletion", "The command's queue was deleted."),
    .init(
      .fusedCommandFailed, "Command Aborted due to Failed Fused Command",
      "The other command of the fused pair failed."),
    .init(
      .fusedCommandMissing, "Command Aborted due to Missing Fused Command",
      "The other command of the fused pair did not follow."),
    .init(
      .invalidNamespaceOrFormat, "Invalid Namespace or Format",
      "The namespace does not exist, is not attached, or has an unusable format."),
    .init(
      .commandSequenceError, "Command Sequence Error",
      "The commands of a sequence came in a wrong order."),
    .init(
      .invalidSGLSegmentDescriptor, "Invalid SGL Segment Descriptor",
      "An SGL segment has a wrong length or place."),
    .init(
      .invalidSGLDescriptorCount, "Invalid Number of SGL Descriptors",
      "The SGL has more descriptors than allowed."),
    .init(.dataSGLLengthInvalid, "Data SGL Length Invalid", "The SGL is too short or too long for the data."),
    .init(
      .metadataSGLLengthInvalid, "Metadata SGL Length Invalid",
      "The SGL is too short or too long for the metadata."),
    .init(
      .sglDescriptorTypeInvalid, "SGL Descriptor Type Invalid",
      "The type of an SGL descriptor is not supported."),
    .init(
      .invalidUseOfMemoryBuffer, "Invalid Use of Controller Memory Buffer",
      "The controller memory buffer may not be used so."),
    .init(
      .invalidPRPOffset, "PRP Offset Invalid",
      "A PRP entry has an offset that its place does not allow."),
    .init(
      .atomicWriteUnitExceeded, "Atomic Write Unit Exceeded",
      "The write is longer than what is written atomically."),
    .init(.operationDenied, "Operation Denied", "The command is refused for lack of access rights."),
    .init(.sglOffsetInvalid, "SGL Offset Invalid", "The offset of an SGL descriptor is wrong."),
    .init(
      .hostIdentifierInconsistent, "Host Identifier Inconsistent Format",
      "Host identifiers of different lengths are in use."),
    .init(.keepAliveExpired, "Keep Alive Timer Expired", "The keep alive timer ran out."),
    .init(.keepAliveTimeoutInvalid, "Keep Alive Timeout Invalid", "The keep alive timeout is not supported."),
    .init(.preemptAbort, "Command Aborted due to Preempt and Abort", "A reservation was preempted."),
    .init(
      .sanitizeFailed, "Sanitize Failed",
      "The last sanitize operation failed and was not recovered from."),
    .init(
      .sanitizeInProgress, "Sanitize In Progress",
      "The command may not run while the medium is sanitized."),
    .init(
      .sglDataBlockGranularityInvalid, "SGL Data Block Granularity Invalid",
      "An SGL data block has a wrong address alignment or length."),
    .init(
      .notSupportedInMemoryBuffer, "Command Not Supported for Queue in CMB",
      "The command may not be sent by a queue in the controller memory buffer."),
    .init(.namespaceWriteProtected, "Namespace is Write Protected", "The namespace may not be written."),
    .init(.commandInterrupted, "Command Interrupted", "The command was broken off and may be sent again."),
    .init(.transientTransportError, "Transient Transport Error", "The transport failed for a moment."),
    .init(
      .prohibitedByLockdown, "Command Prohibited by Command and Feature Lockdown",
      "The command was locked."),
    .init(.mediaNotReady, "Admin Command Media Not Ready", "The medium the command needs is not ready."),
    .init(.lbaOutOfRange, "LBA Out of Range", "A logical block lies beyond the end of the namespace."),
    .init(.capacityExceeded, "Capacity Exceeded", "The namespace has no room left for the write."),
    .init(.namespaceNotReady, "Namespace Not Ready", "The namespace cannot be used at present."),
    .init(.reservationConflict, "Reservation Conflict", "Another host holds a reservation."),
    .init(.formatInProgress, "Format In Progress", "The namespace is being formatted."),
    .init(.invalidValueSize, "Invalid Value Size", "The size of a key's value is wrong."),
    .init(.invalidKeySize, "Invalid Key Size", "The size of a key is wrong."),
    .init(.keyDoesNotExist, "KV Key Does Not Exist", "There is no such key."),
    .init(.unrecoveredError, "Unrecovered Error", "A key's value could not be read."),
    .init(.keyExists, "Key Exists", "The key exists already."),
  ]
}
