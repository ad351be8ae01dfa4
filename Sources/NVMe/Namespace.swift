import NVMeSpec
import PCI

/// A namespace as the controller describes it.
public struct Namespace: Sendable, Hashable {
  /// NSID.
  public let identifier: UInt32
  /// Identify Namespace.
  public let identity: IdentifyNamespace
  /// The identification descriptors, empty where the controller has none.
  public internal(set) var descriptors: [NamespaceDescriptor] = []

  /// Bits of the guard of its protection information.
  public internal(set) var guardBits = 16

  /// A namespace from its identify data.
  public init(identifier: UInt32, identity: IdentifyNamespace, descriptors: [NamespaceDescriptor] = []) {
    self.identifier = identifier
    self.identity = identity
    self.descriptors = descriptors
  }

  /// The size in logical blocks.
  public var lbaCount: UInt64 { identity.size }
  /// The size of a logical block in bytes; nil where the format cannot be used.
  public var lbaSize: Int? { identity.format?.blockSize }
  /// Metadata bytes of a logical block.
  public var metadataSize: Int { Int(identity.format?.metadataSize ?? 0) }
  /// Whether writes are refused by the controller.
  public var isWriteProtected: Bool { identity.attributes & 1 != 0 }
  /// The I/O command set: 0 is NVM, 2 zoned.
  public var commandSet: UInt8 {
    descriptors.first { $0.type == NamespaceDescriptor.commandSetType }?.value.first ?? 0
  }
  /// The UUID, where there is one.
  public var uuid: [UInt8]? { descriptors.first { $0.type == NamespaceDescriptor.uuidType }?.value }

  /// Whether it is the same namespace as before a reset: the same identifiers, the same format, and no
  /// smaller.
  func isSame(as former: Namespace) -> Bool {
    identity.nguid == former.identity.nguid && identity.eui64 == former.identity.eui64
      // The descriptors may not have been read again.
      && (uuid == nil || former.uuid == nil || uuid == former.uuid)
      && lbaSize == former.lbaSize && metadataSize == former.metadataSize
      && identity.protectionSettings == former.identity.protectionSettings && lbaCount >= former.lbaCount
  }

  /// How its metadata is handled; nil where it has none, or an unsupported form.
  public var protection: NamespaceProtection? { NamespaceProtection(identity) }

  /// How many logical blocks a frame of 4 KiB holds; nil where the format is not one of 512 to 4096 bytes.
  public var lbasPerFrame: UInt32? {
    guard let lbaSize, lbaSize <= DMAArena.frameSize else { return nil }
    return UInt32(DMAArena.frameSize / lbaSize)
  }

  /// NOIOB in frames; 0 where there is none or it is not a multiple of a frame.
  var boundaryFrames: UInt32 {
    guard let lbasPerFrame else { return 0 }
    let boundary = UInt32(identity.optimalBoundary)
    return boundary % lbasPerFrame == 0 ? boundary / lbasPerFrame : 0
  }

  /// Why the namespace cannot be used as 4 KiB blocks; nil when it can.
  public var obstacle: String? {
    if commandSet != 0 { return "namespace \(identifier) is not of the NVM command set" }
    guard lbasPerFrame != nil else {
      return "namespace \(identifier) has logical blocks of an unsupported size; "
        + "format it with 512 or 4096 bytes (nvme format --block-size=4096)"
    }
    guard guardBits == 16 else {
      return "namespace \(identifier) has protection information with guards of \(guardBits) bits; "
        + "format it with guards of 16 bits, or without (nvme format --pi=0, see nvme nvm-id-ns)"
    }
    if metadataSize != 0, protection == nil {
      return "namespace \(identifier) has \(metadataSize) bytes of metadata between its blocks; "
        + "format it without, or with metadata apart (nvme format --lbaf --ms=0, see nvme id-ns)"
    }
    return lbaCount == 0 ? "namespace \(identifier) has no capacity" : nil
  }
}
