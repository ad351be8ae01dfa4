/// CAP: what the controller can do (Base 2.0, section 3.1.3.1).
public struct ControllerCapabilities: RawRepresentable, Hashable, Sendable {
  public var rawValue: UInt64
  public init(rawValue: UInt64) { self.rawValue = rawValue }

  /// MQES, 0's based: the entries of the largest I/O queue, less one.
  public var maximumQueueEntries: UInt16 {
    get { UInt16(truncatingIfNeeded: rawValue) }
    set { rawValue.setField(0, 16, UInt64(newValue)) }
  }
  /// The entries of the largest I/O queue, as a count.
  public var queueEntryLimit: Int { Int(maximumQueueEntries) + 1 }

  /// CQR: queues must be physically contiguous.
  public var contiguousQueuesRequired: Bool {
    get { rawValue.flag(16) }
    set { rawValue.setFlag(16, newValue) }
  }

  /// AMS: arbitration mechanisms beyond round robin (bit 0: weighted round robin, bit 1: vendor's).
  public var arbitrationMechanisms: UInt8 {
    get { UInt8(truncatingIfNeeded: rawValue.field(17, 2)) }
    set { rawValue.setField(17, 2, UInt64(newValue)) }
  }

  /// TO: the longest the controller takes to become ready or not ready, in units of 500 ms.
  public var timeout: UInt8 {
    get { UInt8(truncatingIfNeeded: rawValue.field(24, 8)) }
    set { rawValue.setField(24, 8, UInt64(newValue)) }
  }
  /// TO in nanoseconds.
  public var timeoutNanoseconds: UInt64 { UInt64(timeout) * 500_000_000 }

  /// DSTRD: the distance of doorbells is `4 << stride` bytes.
  public var doorbellStride: UInt8 {
    get { UInt8(truncatingIfNeeded: rawValue.field(32, 4)) }
    set { rawValue.setField(32, 4, UInt64(newValue)) }
  }

  /// NSSRS: the subsystem can be reset through NSSR.
  public var subsystemResetSupported: Bool {
    get { rawValue.flag(36) }
    set { rawValue.setFlag(36, newValue) }
  }

  /// CSS bit 0: the NVM command set.
  public var nvmCommandSet: Bool {
    get { rawValue.flag(37) }
    set { rawValue.setFlag(37, newValue) }
  }
  /// CSS bit 6: one or more I/O command sets, listed by Identify CNS 1Ch.
  public var multipleCommandSets: Bool {
    get { rawValue.flag(43) }
    set { rawValue.setFlag(43, newValue) }
  }
  /// CSS bit 7: no I/O command set, admin commands only.
  public var adminOnly: Bool {
    get { rawValue.flag(44) }
    set { rawValue.setFlag(44, newValue) }
  }

  /// BPS: boot partitions.
  public var bootPartitions: Bool {
    get { rawValue.flag(45) }
    set { rawValue.setFlag(45, newValue) }
  }

  /// MPSMIN: the smallest memory page is `4096 << value` bytes.
  public var minimumPageSize: UInt8 {
    get { UInt8(truncatingIfNeeded: rawValue.field(48, 4)) }
    set { rawValue.setField(48, 4, UInt64(newValue)) }
  }
  /// MPSMAX: the largest memory page is `4096 << value` bytes.
  public var maximumPageSize: UInt8 {
    get { UInt8(truncatingIfNeeded: rawValue.field(52, 4)) }
    set { rawValue.setField(52, 4, UInt64(newValue)) }
  }

  /// PMRS: a persistent memory region.
  public var persistentMemoryRegion: Bool {
    get { rawValue.flag(56) }
    set { rawValue.setFlag(56, newValue) }
  }
  /// CMBS: CMBLOC and CMBSZ describe a memory buffer once CMBMSC.CRE is set.
  public var memoryBufferSupported: Bool {
    get { rawValue.flag(57) }
    set { rawValue.setFlag(57, newValue) }
  }
  /// NSSS: the subsystem can be shut down through NSSD.
  public var subsystemShutdownSupported: Bool {
    get { rawValue.flag(58) }
    set { rawValue.setFlag(58, newValue) }
  }
  /// CRMS bit 0: Controller Ready With Media; CRTO then holds the timeouts.
  public var readyWithMedia: Bool {
    get { rawValue.flag(59) }
    set { rawValue.setFlag(59, newValue) }
  }
  /// CRMS bit 1: Controller Ready Independent of Media.
  public var readyIndependentOfMedia: Bool {
    get { rawValue.flag(60) }
    set { rawValue.setFlag(60, newValue) }
  }

  /// How long a driver waits for CSTS.RDY to follow CC.EN, in nanoseconds: CRTO where it is longer than TO.
  public func readyTimeout(_ timeouts: ReadyTimeouts) -> UInt64 {
    guard readyWithMedia else { return timeoutNanoseconds }
    return Swift.max(timeoutNanoseconds, UInt64(timeouts.withMedia) * 500_000_000)
  }
}
