/// Opcodes of admin commands (Base 2.0, section 5).
public struct AdminOpcode: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
  public var rawValue: UInt8
  @inlinable
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  public static let deleteSubmissionQueue = AdminOpcode(rawValue: 0x00)
  public static let createSubmissionQueue = AdminOpcode(rawValue: 0x01)
  public static let getLogPage = AdminOpcode(rawValue: 0x02)
  public static let deleteCompletionQueue = AdminOpcode(rawValue: 0x04)
  public static let createCompletionQueue = AdminOpcode(rawValue: 0x05)
  public static let identify = AdminOpcode(rawValue: 0x06)
  public static let abort = AdminOpcode(rawValue: 0x08)
  public static let setFeatures = AdminOpcode(rawValue: 0x09)
  public static let getFeatures = AdminOpcode(rawValue: 0x0a)
  public static let asynchronousEventRequest = AdminOpcode(rawValue: 0x0c)
  public static let namespaceManagement = AdminOpcode(rawValue: 0x0d)
  public static let firmwareCommit = AdminOpcode(rawValue: 0x10)
  public static let firmwareImageDownload = AdminOpcode(rawValue: 0x11)
  public static let deviceSelfTest = AdminOpcode(rawValue: 0x14)
  public static let namespaceAttachment = AdminOpcode(rawValue: 0x15)
  public static let keepAlive = AdminOpcode(rawValue: 0x18)
  public static let doorbellBufferConfig = AdminOpcode(rawValue: 0x7c)
  public static let formatNVM = AdminOpcode(rawValue: 0x80)
  public static let securitySend = AdminOpcode(rawValue: 0x81)
  public static let securityReceive = AdminOpcode(rawValue: 0x82)
  public static let sanitize = AdminOpcode(rawValue: 0x84)

  private static let names: [AdminOpcode: String] = [
    .deleteSubmissionQueue: "Delete I/O Submission Queue",
    .createSubmissionQueue: "Create I/O Submission Queue",
    .getLogPage: "Get Log Page",
    .deleteCompletionQueue: "Delete I/O Completion Queue",
    .createCompletionQueue: "Create I/O Completion Queue",
    .identify: "Identify",
    .abort: "Abort",
    .setFeatures: "Set Features",
    .getFeatures: "Get Features",
    .asynchronousEventRequest: "Asynchronous Event Request",
    .namespaceManagement: "Namespace Management",
    .firmwareCommit: "Firmware Commit",
    .firmwareImageDownload: "Firmware Image Download",
    .deviceSelfTest: "Device Self-test",
    .namespaceAttachment: "Namespace Attachment",
    .keepAlive: "Keep Alive",
    .doorbellBufferConfig: "Doorbell Buffer Config",
    .formatNVM: "Format NVM",
    .securitySend: "Security Send",
    .securityReceive: "Security Receive",
    .sanitize: "Sanitize",
  ]

  /// The command's name in the specification.
  public var description: String { Self.names[self] ?? "admin command \(hex(rawValue))" }
}
