/// CRTO: how long the controller takes to become ready, valid where CAP.CRMS is set (Base 2.0, section
/// 3.1.3.20).
public struct ReadyTimeouts: RawRepresentable, Hashable, Sendable {
  public var rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// CRWMT: ready with media, in units of 500 ms.
  public var withMedia: UInt16 {
    get { UInt16(truncatingIfNeeded: rawValue) }
    set { rawValue.setField(0, 16, UInt32(newValue)) }
  }
  /// CRIMT: ready independent of media, in units of 500 ms.
  public var independentOfMedia: UInt16 {
    get { UInt16(truncatingIfNeeded: rawValue.field(16, 16)) }
    set { rawValue.setField(16, 16, UInt32(newValue)) }
  }
}
