/// The fields of one structure on disk, as SPEC's table of the same name lists them.
///
/// It is made from the `fields` by which the structure itself is encoded and decoded, so the two cannot
/// differ. Log records are listed by their kind.
public struct StructureLayout: Sendable {
  public struct Field: Sendable, Equatable {
    /// In words: "log block".
    public let name: String
    /// Bytes before it in the structure, and bytes it takes.
    public let offset: Int
    public let size: Int
    public let kind: FieldKind
  }

  /// The heading above its table in SPEC.
  public let name: String
  /// In the order in which they lie.
  public let fields: [Field]

  /// - Parameter parts: `fields` of the structure, and of the headers that it shares with other structures.
  private init(_ name: String, _ parts: Any...) {
    self.name = name
    fields = parts.flatMap { Mirror(reflecting: $0).children }.compactMap { label, value in
      guard let label, let place = value as? any FieldPlace else { return nil }
      return Field(name: Self.words(label), offset: place.offset, size: place.size, kind: place.kind)
    }.sorted { $0.offset < $1.offset }
  }

  /// `logBlock` as "log block".
  private static func words(_ label: String) -> String {
    label.reduce(into: "") { words, letter in
      words += letter.isUppercase ? " \(letter.lowercased())" : "\(letter)"
    }
  }

  public static let superblock = StructureLayout("Superblock", Superblock.fields)
  public static let checkpointPack = StructureLayout("Checkpoint pack", CheckpointPack.fields)
  public static let tableRoot = StructureLayout("Table root", TableRoot.fields)
  public static let usageSelection = StructureLayout("Usage selection", CheckpointPack.UsageSelection.fields)
  public static let usageEntry = StructureLayout("Usage entry", UsageEntry.fields)
  public static let entry = StructureLayout("Entry", Entry.fields)
  public static let inode = StructureLayout("Inode", Inode.fields)
  public static let directoryRecord = StructureLayout("Directory record", DirectoryRecord.fields)
  public static let directoryLeaf = packedNode("Directory leaf")
  public static let index = StructureLayout("Index", OwnedNodeHeader.fields, DirectoryIndex.fields)
  public static let attribute = StructureLayout("Attribute", AttributeEntries.fields)
  public static let attributeNode = packedNode("Attribute node")
  public static let valueReference = StructureLayout("Value reference", ValueReference.fields)
  public static let valueNode = packedNode("Value node")
  public static let logHeader = StructureLayout("Log header", LogHeader.fields)
  public static let ownerRun = StructureLayout("Owner run", OwnerRun.fields)
  public static let record = StructureLayout("Record", RecordHeader.fields)
  public static let errorRecord = StructureLayout("Error record", ErrorRecord.fields)
  public static let errorEvent = StructureLayout("Error event", ErrorRecord.Event.fields)

  private static func packedNode(_ name: String) -> StructureLayout {
    StructureLayout(name, OwnedNodeHeader.fields, PackedNodeHeader.fields)
  }

  /// The records of the log by their kind, without the header that all have and the bytes that follow the
  /// last field.
  public static let records: [UInt8: StructureLayout] = Dictionary(
    uniqueKeysWithValues: LogRecord.Kind.allCases.map { ($0.rawValue, record($0)) })

  private static func record(_ kind: LogRecord.Kind) -> StructureLayout {
    switch kind {
    case .create: StructureLayout("Create", RecordFields.create)
    case .link: StructureLayout("Link", RecordFields.name)
    case .unlink: StructureLayout("Unlink", RecordFields.name)
    case .rename: StructureLayout("Rename", RecordFields.rename)
    case .setAttributes: StructureLayout("Set attributes", RecordFields.setAttributes)
    case .writeInline: StructureLayout("Write inline", RecordFields.writeInline)
    case .written: StructureLayout("Written", RecordFields.written)
    case .attribute: StructureLayout("Attribute record", RecordFields.attribute)
    case .allocate: StructureLayout("Allocate", RecordFields.allocate)
    case .dropName: StructureLayout("Drop name", RecordFields.dropName)
    }
  }

  /// Every structure of the format.
  public static let all =
    [
      superblock, checkpointPack, tableRoot, usageSelection, usageEntry, entry, inode, directoryRecord,
      directoryLeaf, index, attribute, attributeNode, valueReference, valueNode, logHeader, ownerRun, record,
      errorRecord, errorEvent,
    ] + records.sorted { $0.key < $1.key }.map(\.value)
}

/// What all fields have, whatever the type of their value.
private protocol FieldPlace {
  var offset: Int { get }
  var size: Int { get }
  var kind: FieldKind { get }
}

extension Field: FieldPlace {}
extension ByteField: FieldPlace {}
