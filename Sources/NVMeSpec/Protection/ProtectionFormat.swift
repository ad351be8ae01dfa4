/// The metadata of each logical block of a namespace, and how its protection information is generated and
/// checked (NVM Command Set 1.0, section 5.2).
public struct ProtectionFormat: Hashable, Sendable {
  /// The bytes of protection information: guard, application tag and reference tag, most significant byte
  /// first.
  public static let tupleSize = 8

  /// The size of a logical block in bytes.
  public let blockSize: Int
  /// Metadata of a logical block in bytes.
  public let metadataSize: Int
  /// The protection information type 1...3; 0 where the metadata is free for other use.
  public let type: UInt8
  /// Whether the protection information is the first part of the metadata rather than the last.
  public let isFirst: Bool

  /// - Parameters:
  ///   - blockSize: bytes.
  ///   - metadataSize: bytes; at least 8 where `type` is not 0.
  ///   - type: 0...3.
  public init(blockSize: Int, metadataSize: Int, type: UInt8, isFirst: Bool = false) {
    self.blockSize = blockSize
    self.metadataSize = metadataSize
    self.type = metadataSize >= Self.tupleSize && type <= 3 ? type : 0
    self.isFirst = isFirst
  }

  /// The metadata of a namespace as it is formatted; nil where it has none.
  public init?(_ namespace: IdentifyNamespace) {
    guard let format = namespace.format, let blockSize = format.blockSize, format.metadataSize > 0 else {
      return nil
    }
    self.init(
      blockSize: blockSize, metadataSize: Int(format.metadataSize), type: namespace.protectionSettings & 7,
      isFirst: namespace.protectionSettings & 8 != 0)
  }

  /// Whether the metadata is nothing but protection information, so that the controller can generate and
  /// strip it.
  public var isAllProtection: Bool { type != 0 && metadataSize == Self.tupleSize }

  /// What to check of a block: the guard, and the reference tag where it depends on the block's address.
  public var checks: ProtectionChecks {
    switch type {
    case 1, 2: [.guardTag, .reference]
    case 3: .guardTag
    default: []
    }
  }

  /// The reference tag of a block.
  public func referenceTag(_ block: UInt64) -> UInt32 { type == 3 ? 0 : UInt32(truncatingIfNeeded: block) }

  private var offset: Int { isFirst ? 0 : metadataSize - Self.tupleSize }

  /// Whether a byte of a block's metadata is protection information.
  public func isProtection(_ index: Int) -> Bool {
    type != 0 && (offset..<offset + Self.tupleSize).contains(index)
  }

  private func guardTag(_ data: UnsafeRawPointer, _ metadata: UnsafeRawPointer) -> UInt16 {
    ProtectionGuard.crc(metadata, offset, from: ProtectionGuard.crc(data, blockSize))
  }

  /// Writes the protection information of a block into its metadata.
  public func protect(
    _ data: UnsafeRawPointer, _ metadata: UnsafeMutableRawPointer, reference: UInt32, application: UInt16 = 0
  ) {
    guard type != 0 else { return }
    let tuple = metadata + offset
    tuple.storeBytes(of: guardTag(data, metadata).bigEndian, as: UInt16.self)
    tuple.storeBytes(of: application.bigEndian, toByteOffset: 2, as: UInt16.self)
    tuple.storeBytes(of: reference.bigEndian, toByteOffset: 4, as: UInt32.self)
  }

  /// Checks a block against its metadata. Tags that disable checking pass.
  /// - Parameters:
  ///   - checks: which parts.
  ///   - reference: the expected reference tag.
  ///   - application: the expected application tag, where the bits of `mask` are set.
  /// - Returns: the check that failed; nil when all passed.
  public func mismatch(
    _ data: UnsafeRawPointer, _ metadata: UnsafeRawPointer, _ checks: ProtectionChecks, reference: UInt32,
    application: UInt16 = 0, mask: UInt16 = 0
  ) -> StatusCode? {
    guard type != 0 else { return nil }
    let tuple = metadata + offset
    let tag = UInt16(bigEndian: tuple.loadUnaligned(fromByteOffset: 2, as: UInt16.self))
    let found = UInt32(bigEndian: tuple.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
    if tag == 0xffff, type != 3 || found == 0xffff_ffff { return nil }
    if checks.contains(.guardTag),
      UInt16(bigEndian: tuple.loadUnaligned(as: UInt16.self)) != guardTag(data, metadata)
    {
      return .guardCheckError
    }
    if checks.contains(.application), tag & mask != application & mask { return .applicationTagCheckError }
    if checks.contains(.reference), type != 3, found != reference { return .referenceTagCheckError }
    return nil
  }
}
