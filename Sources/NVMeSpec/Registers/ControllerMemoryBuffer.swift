/// CMBLOC: where the controller memory buffer lies (Base 2.0, section 3.1.3.11).
public struct MemoryBufferLocation: RawRepresentable, Hashable, Sendable {
  public var rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// BIR: the BAR that holds it (0, 2, 3, 4 or 5).
  public var bar: Int { Int(rawValue.field(0, 3)) }
  /// CQMMS: memory of queues in the buffer may be mixed with host memory.
  public var mixedQueueMemory: Bool { rawValue.flag(3) }
  /// CQPDS: queues in the buffer may be physically discontiguous.
  public var discontiguousQueues: Bool { rawValue.flag(4) }
  /// CDPMLS: PRP and SGL lists may mix host memory and the buffer.
  public var mixedPointerLists: Bool { rawValue.flag(5) }
  /// CDMMMS: data may mix host memory and the buffer.
  public var mixedData: Bool { rawValue.flag(7) }
  /// OFST: the offset in the BAR, in units of `MemoryBufferSize.unit` (not bytes).
  public var offset: UInt32 { rawValue.field(12, 20) }
}

/// CMBSZ: the size of the controller memory buffer and its uses (Base 2.0, section 3.1.3.12).
public struct MemoryBufferSize: RawRepresentable, Hashable, Sendable {
  public var rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// SQS: submission queues may lie in it.
  public var submissionQueues: Bool { rawValue.flag(0) }
  /// CQS: completion queues may lie in it.
  public var completionQueues: Bool { rawValue.flag(1) }
  /// LISTS: PRP and SGL lists may lie in it.
  public var pointerLists: Bool { rawValue.flag(2) }
  /// RDS: data the controller returns may lie in it.
  public var readData: Bool { rawValue.flag(3) }
  /// WDS: data the controller takes may lie in it.
  public var writeData: Bool { rawValue.flag(4) }
  /// SZU in bytes: 4 KiB, 64 KiB, 1 MiB … 64 GiB; nil where the value is reserved.
  public var unit: UInt64? {
    let exponent = rawValue.field(8, 4)
    return exponent <= 6 ? 4096 << UInt64(4 * exponent) : nil
  }
  /// SZ: the size in units.
  public var sizeInUnits: UInt32 { rawValue.field(12, 20) }
  /// The size in bytes, 0 when there is no buffer.
  public var size: UInt64 { (unit ?? 0) * UInt64(sizeInUnits) }

  /// Where the buffer starts in its BAR, in bytes; nil when there is no buffer.
  public func byteOffset(_ location: MemoryBufferLocation) -> UInt64? {
    guard sizeInUnits != 0, let unit else { return nil }
    return unit * UInt64(location.offset)
  }
}

/// CMBMSC: sets the address of the controller memory buffer for commands (Base 2.0, section 3.1.3.16).
public struct MemoryBufferControl: RawRepresentable, Hashable, Sendable {
  public var rawValue: UInt64
  public init(rawValue: UInt64) { self.rawValue = rawValue }

  /// CRE: CMBLOC and CMBSZ become readable.
  public var capabilitiesEnabled: Bool {
    get { rawValue.flag(0) }
    set { rawValue.setFlag(0, newValue) }
  }
  /// CMSE: accesses to `baseAddress` and up reach the buffer.
  public var memorySpaceEnabled: Bool {
    get { rawValue.flag(1) }
    set { rawValue.setFlag(1, newValue) }
  }
  /// CBA: the buffer's address in commands, a multiple of 4096, above every IOVA in use.
  public var baseAddress: UInt64 {
    get { rawValue & ~0xfff }
    set { rawValue = (rawValue & 0xfff) | (newValue & ~0xfff) }
  }
}
