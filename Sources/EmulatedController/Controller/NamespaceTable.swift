import NVMeSpec
import PCI

/// A namespace as commands see it.
struct NamespaceRecord {
  let medium: Medium
  /// A logical block is `1 << shift` bytes.
  var shift: Int
  /// Whether the medium stores the format that Format NVM has set.
  let keepsFormat: Bool
  /// Whether write commands are refused.
  let isWriteProtected: Bool

  /// Metadata of a logical block in bytes.
  var metadataSize = 0
  var protection: ProtectionFormat?

  /// Whether Format NVM may change the block size; not where the image cannot store it.
  var canReformat: Bool { metadataSize == 0 && keepsFormat }

  /// Whether Format NVM may set a type of protection information; only the present one where the image cannot
  /// store another.
  func mayHave(protectionType type: UInt8) -> Bool {
    let isPossible = type == 0 || type <= 3 && metadataSize >= ProtectionFormat.tupleSize
    return isPossible && (keepsFormat || type == protection?.type ?? 0)
  }

  /// Sets the block size and the type of protection information.
  mutating func setFormat(_ shift: Int, protectionType: UInt8) {
    self.shift = shift
    protection =
      metadataSize == 0
      ? nil : ProtectionFormat(blockSize: 1 << shift, metadataSize: metadataSize, type: protectionType)
  }

  /// The size in logical blocks.
  @inline(__always)
  var blocks: UInt64 {
    metadataSize == 0
      ? UInt64(medium.size) &>> UInt64(shift)
      : UInt64(medium.size / (1 << shift + metadataSize))
  }

  /// Blocks and their metadata, as extents of the medium.
  func withMetadata(_ offset: Int, _ length: Int) -> [(offset: Int, length: Int)] {
    metadataSize == 0
      ? [(offset, length)]
      : [(offset, length), (metadataOffset(offset), (length >> shift) * metadataSize)]
  }
}

/// The namespaces of a controller, 1, 2, ….
struct NamespaceTable: ~Copyable {
  /// How many there are; the highest identifier too.
  private(set) var count: Int
  private let records: UnsafeMutablePointer<NamespaceRecord>
  private var backings: [any Backing]

  init(_ namespaces: [EmulatedController.Namespace]) throws(FunctionError) {
    var backings: [any Backing] = []
    for namespace in namespaces { backings.append(try Self.open(namespace)) }
    self.backings = backings
    count = namespaces.count
    records = .allocate(capacity: max(count, 1))
    for (index, namespace) in namespaces.enumerated() {
      let format = (backings[index] as? ImageBacking)?.format
      let shift = format?.shift ?? (namespace.blockSize == 512 ? 9 : 12)
      var record = NamespaceRecord(
        medium: backings[index].medium, shift: shift, keepsFormat: format?.isKept ?? true,
        isWriteProtected: namespace.isWriteProtected
          || (backings[index] as? ImageBacking)?.isReadOnly ?? false,
        metadataSize: namespace.metadataSize)
      record.setFormat(shift, protectionType: format?.protectionType ?? namespace.protectionType)
      (records + index).initialize(to: record)
    }
  }

  deinit { records.deallocate() }

  /// The namespace with an identifier, nil when there is none.
  @inline(__always)
  subscript(_ identifier: UInt32) -> NamespaceRecord? {
    identifier &- 1 < UInt32(truncatingIfNeeded: count) ? records[Int(identifier) - 1] : nil
  }

  /// Sets and stores a namespace's block size and type of protection information.
  /// - Returns: 0, or the errno of an image that could not store them; the format is unchanged then.
  mutating func setFormat(_ identifier: UInt32, _ shift: Int, protectionType: UInt8) -> Int32 {
    guard var namespace = self[identifier] else { return 0 }
    let index = Int(identifier) - 1
    if namespace.keepsFormat, let image = backings[index] as? ImageBacking {
      let failure =
        namespace.metadataSize == 0
        ? image.format.keep(shift: shift) : image.format.keep(protectionType: protectionType)
      guard failure == 0 else { return failure }
    }
    namespace.setFormat(shift, protectionType: protectionType)
    records[index] = namespace
    return 0
  }

  /// Where the device's counters are kept: with the first image that may be written; nil where there is none.
  var counters: ImageCounters? {
    backings.lazy.compactMap { $0 as? ImageBacking }.first { !$0.isReadOnly }?.counters
  }

  /// The identifiers in use.
  var identifiers: Range<UInt32> { 1..<UInt32(truncatingIfNeeded: count) + 1 }

  /// Closes the image files and releases their locks; namespaces in memory stay.
  mutating func close() {
    guard backings.contains(where: { $0 is ImageBacking }) else { return }
    count = 0
    backings = []
  }

  private static func open(_ namespace: EmulatedController.Namespace) throws(FunctionError) -> any Backing {
    switch namespace.medium {
    case .memory(let bytes): try MemoryBacking(bytes: bytes / namespace.blockSize * namespace.blockSize)
    case .contents(let image): try MemoryBacking(image)
    case .image(let path):
      try ImageBacking(path: path, blockSize: namespace.blockSize, isReadOnly: namespace.isWriteProtected)
    }
  }
}
