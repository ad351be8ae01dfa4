/// The command words of the other admin commands (Base 2.0, section 5).
extension SubmissionEntry {
  /// Identify: the 4096 bytes of `structure`.
  public init(identify structure: IdentifyStructure, namespace: UInt32 = 0) {
    self.init(.identify, namespace: namespace)
    cdw10 = UInt32(structure.rawValue)
  }

  /// Get Log Page: `length` bytes (a multiple of 4) of log `log` from byte `offset` (a multiple of 4).
  public init(
    getLogPage log: LogPage, namespace: UInt32 = SubmissionEntry.allNamespaces, length: Int,
    offset: UInt64 = 0
  ) {
    self.init(.getLogPage, namespace: namespace)
    let words = UInt32(truncatingIfNeeded: Swift.max(length / 4, 1) - 1)
    cdw10 = UInt32(log.rawValue) | words.field(0, 16) << 16
    cdw11 = words.field(16, 16)
    cdw12 = UInt32(truncatingIfNeeded: offset)
    cdw13 = UInt32(truncatingIfNeeded: offset >> 32)
  }

  /// Set Features with a value in CDW11.
  public init(
    setFeature feature: Feature, value: UInt32, namespace: UInt32 = 0, save: Bool = false
  ) {
    self.init(.setFeatures, namespace: namespace)
    cdw10 = UInt32(feature.rawValue) | (save ? 1 << 31 : 0)
    cdw11 = value
  }

  /// Get Features: the value is the completion's result.
  /// - Parameter value: CDW11, for features where it selects one of several values.
  public init(
    getFeature feature: Feature, select: FeatureSelection = .current, namespace: UInt32 = 0,
    value: UInt32 = 0
  ) {
    self.init(.getFeatures, namespace: namespace)
    cdw10 = UInt32(feature.rawValue) | UInt32(select.rawValue) << 8
    cdw11 = value
  }

  /// Abort command `identifier` of submission queue `queue`. Bit 0 of the result: 0 when it was aborted.
  public init(abort identifier: UInt16, queue: UInt16) {
    self.init(.abort)
    cdw10 = UInt32(identifier) << 16 | UInt32(queue)
  }

  /// Format NVM: LBA format `format` for the namespace.
  /// - Parameters:
  ///   - secureErase: SES: 0 none, 1 user data erase, 2 cryptographic erase.
  ///   - protection: PI: the type of protection information, 0 for none.
  ///   - protectionFirst: PIL: protection information is the first 8 bytes of metadata rather than the last.
  ///   - extendedMetadata: MSET: metadata follows each block's data rather than lying in a separate buffer.
  public init(
    formatNamespace namespace: UInt32, format: UInt8, secureErase: UInt8 = 0, protection: UInt8 = 0,
    protectionFirst: Bool = false, extendedMetadata: Bool = false
  ) {
    self.init(.formatNVM, namespace: namespace)
    cdw10 = UInt32(format & 0xf) | UInt32(format >> 4 & 0x3) << 12
    cdw10 |= UInt32(secureErase & 7) << 9 | UInt32(protection & 7) << 5
    cdw10 |= (protectionFirst ? 1 << 8 : 0) | (extendedMetadata ? 1 << 4 : 0)
  }

  /// CNS, of Identify.
  public var identifyStructure: IdentifyStructure {
    IdentifyStructure(rawValue: UInt8(truncatingIfNeeded: cdw10))
  }
  /// LID, of Get Log Page.
  public var logPage: LogPage { LogPage(rawValue: UInt8(truncatingIfNeeded: cdw10)) }
  /// RAE, of Get Log Page: the asynchronous event is kept.
  public var retainEvent: Bool { cdw10.flag(15) }
  /// NUMD in bytes, of Get Log Page (the field itself is 0's based, in 4 bytes).
  public var logLength: UInt64 { (UInt64(cdw11.field(0, 16)) << 16 | UInt64(cdw10.field(16, 16))) * 4 + 4 }
  /// LPO, of Get Log Page: the byte to start from.
  public var logOffset: UInt64 { UInt64(cdw13) << 32 | UInt64(cdw12) }
  /// FID, of Get and Set Features.
  public var feature: Feature { Feature(rawValue: UInt8(truncatingIfNeeded: cdw10)) }
  /// SEL, of Get Features.
  public var featureSelection: FeatureSelection {
    FeatureSelection(rawValue: UInt8(truncatingIfNeeded: cdw10.field(8, 3)))
  }
  /// SV, of Set Features: keep the value across resets and power cycles.
  public var saveFeature: Bool { cdw10.flag(31) }
  /// CID of the command to abort, of Abort.
  public var abortIdentifier: UInt16 { UInt16(truncatingIfNeeded: cdw10.field(16, 16)) }
  /// SQID of the command to abort, of Abort.
  public var abortQueue: UInt16 { UInt16(truncatingIfNeeded: cdw10) }
  /// LBAF, of Format NVM.
  public var formatIndex: UInt8 { UInt8(truncatingIfNeeded: cdw10.field(0, 4) | cdw10.field(12, 2) << 4) }
  /// MSET, of Format NVM: metadata follows each block's data.
  public var extendedMetadata: Bool { cdw10.flag(4) }
  /// PI, of Format NVM: the type of protection information, 0 for none.
  public var formatProtection: UInt8 { UInt8(truncatingIfNeeded: cdw10.field(5, 3)) }
  /// PIL, of Format NVM: protection information is the first 8 bytes of metadata.
  public var protectionFirst: Bool { cdw10.flag(8) }
  /// SES, of Format NVM: 0 none, 1 user data erase, 2 cryptographic erase.
  public var secureErase: UInt8 { UInt8(truncatingIfNeeded: cdw10.field(9, 3)) }
}
