/// The status field of a completion without its phase tag: 15 bits (Base 2.0, section 3.3.3.2.1).
public struct Status: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
  public var rawValue: UInt16

  @inlinable
  public init(rawValue: UInt16) { self.rawValue = rawValue & 0x7fff }

  @inlinable
  public init(
    _ code: StatusCode, doNotRetry: Bool = false, retryDelay: UInt8 = 0, more: Bool = false
  ) {
    rawValue =
      code.rawValue | UInt16(retryDelay & 3) &<< 11 | (more ? 1 &<< 13 : 0) | (doNotRetry ? 1 &<< 14 : 0)
  }

  /// A command that succeeded.
  @inlinable
  public static var success: Status { Status(rawValue: 0) }

  /// SCT and SC.
  @inlinable
  public var code: StatusCode { StatusCode(rawValue: rawValue) }

  /// CRD: 0 to retry at once, 1...3 to wait for CRDT1...CRDT3 of the controller's identity first.
  @inlinable
  public var retryDelay: UInt8 {
    get { UInt8(truncatingIfNeeded: rawValue.field(11, 2)) }
    set { rawValue.setField(11, 2, UInt16(newValue)) }
  }

  /// M: the error log has details.
  @inlinable
  public var more: Bool {
    get { rawValue.flag(13) }
    set { rawValue.setFlag(13, newValue) }
  }

  /// DNR: the same command would fail again.
  @inlinable
  public var doNotRetry: Bool {
    get { rawValue.flag(14) }
    set { rawValue.setFlag(14, newValue) }
  }

  /// Whether the command succeeded.
  @inlinable
  public var isSuccess: Bool { rawValue & 0x7ff == 0 }

  public var description: String {
    var text = code.description
    if retryDelay != 0 { text += ", retry delay \(retryDelay)" }
    if doNotRetry { text += ", do not retry" }
    return text
  }
}
