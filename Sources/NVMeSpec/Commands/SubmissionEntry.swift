/// A submission queue entry: a command, 64 bytes as they lie in memory (Base 2.0, section 3.3.3.1).
///
/// The initialisers named for commands fill in the words a command needs; data pointers are set apart.
public struct SubmissionEntry: BitwiseCopyable, Hashable, Sendable {
  /// CDW0: opcode, FUSE, PSDT, CID.
  public var cdw0: UInt32 = 0
  /// NSID: the namespace; 0 for none, 0xffffffff for all.
  public var namespace: UInt32 = 0
  public var cdw2: UInt32 = 0
  public var cdw3: UInt32 = 0
  /// MPTR: the metadata pointer.
  public var metadata: UInt64 = 0
  /// PRP1, or the lower half of SGL1.
  public var prp1: UInt64 = 0
  /// PRP2, or the upper half of SGL1.
  public var prp2: UInt64 = 0
  /// CDW10 in the lower half, CDW11 in the upper.
  public var cdw10And11: UInt64 = 0
  public var cdw12: UInt32 = 0
  public var cdw13: UInt32 = 0
  public var cdw14: UInt32 = 0
  public var cdw15: UInt32 = 0

  /// The size of an entry in bytes.
  public static let size = 64
  /// The size as CC.IOSQES and SQES give it: `1 << 6` bytes.
  public static let sizeExponent: UInt8 = 6
  /// The NSID that means every namespace.
  public static let allNamespaces: UInt32 = 0xffff_ffff

  /// An entry of zeros.
  @inlinable
  public init() {}

  /// A command with its opcode and namespace, and zeros elsewhere.
  @inlinable
  public init(opcode: UInt8, namespace: UInt32) {
    cdw0 = UInt32(opcode)
    self.namespace = namespace
  }

  /// An admin command.
  @inlinable
  public init(_ opcode: AdminOpcode, namespace: UInt32 = 0) {
    self.init(opcode: opcode.rawValue, namespace: namespace)
  }

  /// An I/O command.
  @inlinable
  public init(_ opcode: IOOpcode, namespace: UInt32) {
    self.init(opcode: opcode.rawValue, namespace: namespace)
  }

  /// CDW10.
  @inlinable
  public var cdw10: UInt32 {
    get { UInt32(truncatingIfNeeded: cdw10And11) }
    set { cdw10And11.setField(0, 32, UInt64(newValue)) }
  }

  /// CDW11.
  @inlinable
  public var cdw11: UInt32 {
    get { UInt32(truncatingIfNeeded: cdw10And11 &>> 32) }
    set { cdw10And11.setField(32, 32, UInt64(newValue)) }
  }

  /// OPC.
  @inlinable
  public var opcode: UInt8 {
    get { UInt8(truncatingIfNeeded: cdw0) }
    set { cdw0.setField(0, 8, UInt32(newValue)) }
  }

  /// FUSE: 0 for a normal command, 1 and 2 for the first and second of a fused pair.
  @inlinable
  public var fused: UInt8 {
    get { UInt8(truncatingIfNeeded: cdw0.field(8, 2)) }
    set { cdw0.setField(8, 2, UInt32(newValue)) }
  }

  /// PSDT: whether the data pointer is PRPs or an SGL.
  @inlinable
  public var dataPointer: DataPointerKind {
    get { DataPointerKind(rawValue: UInt8(truncatingIfNeeded: cdw0.field(14, 2))) }
    set { cdw0.setField(14, 2, UInt32(newValue.rawValue)) }
  }

  /// CID: identifies the command among those outstanding on its queue.
  @inlinable
  public var commandIdentifier: UInt16 {
    get { UInt16(truncatingIfNeeded: cdw0.field(16, 16)) }
    set { cdw0.setField(16, 16, UInt32(newValue)) }
  }

  /// Sets the data pointer to a single SGL data block descriptor, and PSDT to SGL.
  @inlinable
  public mutating func setSGL(address: UInt64, length: UInt32) { setSGL(.dataBlock(address, length)) }

  /// Sets the data pointer to an SGL descriptor, and PSDT to SGL.
  @inlinable
  public mutating func setSGL(_ descriptor: SGLDescriptor) {
    prp1 = descriptor.address
    prp2 = descriptor.word
    dataPointer = .sgl
  }

  /// SGL1, where PSDT says that the data pointer is one.
  @inlinable
  public var sgl: SGLDescriptor { SGLDescriptor(address: prp1, word: prp2) }
}

/// PSDT: the kind of a command's data pointer.
public struct DataPointerKind: RawRepresentable, Hashable, Sendable {
  public var rawValue: UInt8
  @inlinable
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// PRP1 and PRP2.
  public static let prp = DataPointerKind(rawValue: 0)
  /// An SGL; metadata, if any, in a contiguous buffer.
  public static let sgl = DataPointerKind(rawValue: 1)
  /// An SGL; metadata by an SGL of its own.
  public static let sglWithMetadata = DataPointerKind(rawValue: 2)
}
