import NVMeSpec

/// The controller properties below the doorbells, and which of them are writable.
struct RegisterFile {
  let capabilities: ControllerCapabilities
  var configuration = ControllerConfiguration(rawValue: 0)
  var status = ControllerStatus(rawValue: 0)
  var adminQueueAttributes = AdminQueueAttributes(rawValue: 0)
  var adminSubmissionQueue: UInt64 = 0
  var adminCompletionQueue: UInt64 = 0

  /// The version of the specification the controller follows.
  static let version = Version(1, 4)
  /// TO: 5 seconds.
  private static let timeout: UInt8 = 10
  /// MPSMAX: 64 KiB.
  private static let maximumPageSize: UInt8 = 4

  init(_ configuration: EmulatedController.Configuration) {
    var capabilities = ControllerCapabilities(rawValue: 0)
    capabilities.maximumQueueEntries = UInt16(clamping: configuration.queueDepth - 1)
    capabilities.contiguousQueuesRequired = true
    capabilities.timeout = Self.timeout
    capabilities.doorbellStride = configuration.doorbellStride
    capabilities.nvmCommandSet = true
    capabilities.maximumPageSize = Self.maximumPageSize
    capabilities.memoryBufferSupported = configuration.memoryBuffer > 0
    self.capabilities = capabilities
  }

  /// The aligned 32 bits at a byte offset; 0 where there is nothing.
  func load(_ offset: Int) -> UInt32 {
    switch offset {
    case Register.capabilities: UInt32(truncatingIfNeeded: capabilities.rawValue)
    case Register.capabilities + 4: UInt32(truncatingIfNeeded: capabilities.rawValue >> 32)
    case Register.version: Self.version.rawValue
    case Register.configuration: configuration.rawValue
    case Register.status: status.rawValue
    case Register.adminQueueAttributes: adminQueueAttributes.rawValue
    case Register.adminSubmissionQueue: UInt32(truncatingIfNeeded: adminSubmissionQueue)
    case Register.adminSubmissionQueue + 4: UInt32(truncatingIfNeeded: adminSubmissionQueue >> 32)
    case Register.adminCompletionQueue: UInt32(truncatingIfNeeded: adminCompletionQueue)
    case Register.adminCompletionQueue + 4: UInt32(truncatingIfNeeded: adminCompletionQueue >> 32)
    default: 0
    }
  }

  /// Stores to a register without side effects; CC is handled elsewhere.
  mutating func store(_ value: UInt32, _ offset: Int) {
    // The queue registers must not change under an enabled controller; it keeps what it was enabled with.
    guard !configuration.enabled else { return }
    switch offset {
    case Register.adminQueueAttributes:
      adminQueueAttributes = AdminQueueAttributes(rawValue: value & 0x0fff_0fff)
    case Register.adminSubmissionQueue: adminSubmissionQueue.setLow(value)
    case Register.adminSubmissionQueue + 4: adminSubmissionQueue.setHigh(value)
    case Register.adminCompletionQueue: adminCompletionQueue.setLow(value)
    case Register.adminCompletionQueue + 4: adminCompletionQueue.setHigh(value)
    default: break
    }
  }

  /// The values after power-on.
  mutating func reset() {
    configuration = ControllerConfiguration(rawValue: 0)
    status = ControllerStatus(rawValue: 0)
    adminQueueAttributes = AdminQueueAttributes(rawValue: 0)
    adminSubmissionQueue = 0
    adminCompletionQueue = 0
  }
}

extension UInt64 {
  fileprivate mutating func setLow(_ value: UInt32) { self = self & ~0xffff_ffff | UInt64(value & ~0xfff) }
  fileprivate mutating func setHigh(_ value: UInt32) { self = self & 0xffff_ffff | UInt64(value) << 32 }
}
