import Format
import JSONValue
import ToolSupport

/// The fields of whatever structure a block says that it holds, as they lie in it.
struct BlockDump {
  private struct Value {
    let field: StructureLayout.Field
    let json: JSON
    let text: String
  }

  private let block: UInt64
  private let layout: StructureLayout
  private let values: [Value]

  init(_ block: UInt64, in volume: Volume) throws(DumpError) {
    let contents = try volume.block(block)
    guard let layout = contents.read({ Self.layout(of: $0) }) else {
      throw DumpError(
        "block \(block) has no magic number of ours: it is data, a map node, a block of a table, or unused")
    }
    self.block = block
    self.layout = layout
    values = contents.read { page in layout.fields.map { Self.value(of: $0, in: page) } }
  }

  /// The structure whose magic number a block begins with.
  private static func layout(of page: Page) -> StructureLayout? {
    switch page.load(UInt64.self, at: 0) {
    case Superblock.magic: return .superblock
    case CheckpointPack.magic: return .checkpointPack
    case LogHeader.magic: return .logHeader
    case ErrorRecord.magic: return .errorRecord
    default: break
    }
    switch page.load(UInt32.self, at: 0) {
    case Inode.magic: return .inode
    case DirectoryLeaf.magic: return .directoryLeaf
    case DirectoryIndex.magic: return .index
    case AttributeNode.magic: return .attributeNode
    case AttributeValueNode.magic: return .valueNode
    default: return nil
    }
  }

  private static func value(of field: StructureLayout.Field, in page: Page) -> Value {
    let bytes = Array(page.bytes(at: field.offset, count: field.size))
    guard bytes.count <= 8, field.kind != .bytes else {
      return Value(field: field, json: .text(hexadecimal(bytes)), text: hexadecimal(bytes))
    }
    let number = bytes.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    switch field.kind {
    case .magic:
      let text = NameBytes(bytes).text
      return Value(field: field, json: .text(text), text: text)
    case .time:
      let time = Int64(truncatingIfNeeded: number)
      return Value(field: field, json: .integer(time), text: timeText(time))
    case .checksum, .flags:
      return Value(field: field, json: .integer(number), text: "0x\(hexadecimal(number))")
    case .nodeID: return Value(field: field, json: .integer(number), text: NodeID(raw: number).text)
    case .reference where number & DirectoryIndex.referenceFlag != 0:
      let text = "index \(number & ~DirectoryIndex.referenceFlag)"
      return Value(field: field, json: .integer(number), text: text)
    default: return Value(field: field, json: .integer(number), text: "\(number)")
    }
  }

  var json: JSON {
    .object([
      ("block", .integer(block)), ("structure", .text(layout.name)),
      (
        "fields",
        .array(
          values.map {
            .object([
              ("field", .text($0.field.name)), ("offset", .integer($0.field.offset)),
              ("size", .integer($0.field.size)), ("value", $0.json),
            ])
          })
      ),
    ])
  }

  var text: String {
    var table = Table("Offset", "Size", "Field", "Value")
    for value in values {
      table.add("\(value.field.offset)", "\(value.field.size)", value.field.name, value.text)
    }
    return "\(layout.name), block \(block)\n\n\(table.text)"
  }
}
