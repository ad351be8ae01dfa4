/// An entry of the Error Information log, 64 bytes (Base 2.0, section 5.16.1.2).
public struct ErrorLogEntry: Hashable, Sendable {
  /// The size of an entry in bytes.
  public static let size = 64

  /// Counts errors over the controller's life; 0 for an unused entry.
  public var count: UInt64 = 0
  /// The submission queue of the command; 0xffff when the error is not a command's.
  public var submissionQueue: UInt16 = 0
  /// The command; 0xffff when the error is not a command's.
  public var commandIdentifier: UInt16 = 0
  /// How the command completed.
  public var status = Status.success
  /// The byte (bits 7:0) and bit (bits 10:8) of the command at fault; 0xffff when not reported.
  public var parameterLocation: UInt16 = 0
  /// The first logical block at fault.
  public var block: UInt64 = 0
  /// The namespace.
  public var namespace: UInt32 = 0

  public init() {}

  /// Reads an entry; what a short buffer lacks reads as zero.
  public init(decoding data: UnsafeRawBufferPointer) {
    count = data.value(at: 0)
    submissionQueue = data.value(at: 8)
    commandIdentifier = data.value(at: 10)
    status = Status(rawValue: data.value(at: 12, as: UInt16.self) >> 1)
    parameterLocation = data.value(at: 14)
    block = data.value(at: 16)
    namespace = data.value(at: 24)
  }

  /// Writes the entry over a zeroed buffer; what does not fit is left out.
  public func encode(into data: UnsafeMutableRawBufferPointer) {
    data.clear()
    data.put(count, at: 0)
    data.put(submissionQueue, at: 8)
    data.put(commandIdentifier, at: 10)
    data.put(status.rawValue << 1, at: 12)
    data.put(parameterLocation, at: 14)
    data.put(block, at: 16)
    data.put(namespace, at: 24)
  }
}
