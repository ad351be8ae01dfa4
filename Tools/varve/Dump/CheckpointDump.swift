import Format
import JSONValue
import ToolSupport

/// The checkpoint a mount would take, and the state of all four copies.
struct CheckpointDump {
  private struct Copy {
    let slot: Int
    let copy: Int
    let block: UInt64
    /// Nil when the copy is not valid.
    let sequence: UInt64?
  }

  private let copies: [Copy]
  private let fields: Fields

  init(_ volume: Volume) throws(DumpError) {
    var copies: [Copy] = []
    for slot in 0...1 {
      for copy in 0...1 {
        copies.append(
          Copy(
            slot: slot, copy: copy, block: volume.geometry.packBlock(slot: slot, copy: copy),
            sequence: try volume.pack(slot: slot, copy: copy)?.sequence))
      }
    }
    self.copies = copies
    fields = Fields(try volume.checkpoint())
  }

  var json: JSON {
    .object([
      ("checkpoint", fields.json),
      (
        "copies",
        .array(
          copies.map {
            .object([
              ("slot", .integer($0.slot)), ("copy", .text($0.copy == 0 ? "A" : "B")),
              ("block", .integer($0.block)), ("sequence", $0.sequence.map { .integer($0) } ?? .null),
            ])
          })
      ),
    ])
  }

  var text: String {
    var table = Table("Slot", "Copy", "Block", "Checkpoint")
    for copy in copies {
      table.add(
        "\(copy.slot)", copy.copy == 0 ? "A" : "B", "\(copy.block)",
        copy.sequence.map(String.init) ?? "not valid")
    }
    return "\(fields.text)\n\n\(table.text)"
  }
}

extension Fields {
  /// A checkpoint without its usage blocks.
  init(_ pack: CheckpointPack) {
    add("sequence", pack.sequence)
    add("epoch", pack.epoch)
    add("clean", .bool(pack.isClean))
    add("time", pack.time, timeText(pack.time))
    add("log_block", pack.log.block)
    add("log_sequence", pack.log.sequence)
    add("log_previous_checksum", pack.log.previousChecksum)
    add("log_next_segment", pack.log.nextSegment)
    addTable("inodes", pack.inodes)
    addTable("internals", pack.internals)
    add("reserved_blocks", pack.reservedBlocks)
  }

  private mutating func addTable(_ name: String, _ root: TableRoot) {
    let members: [(name: String, value: JSON)] = [
      ("root_block", .integer(root.address)), ("height", .integer(root.height)),
      ("limit", .integer(root.limit)), ("used", .integer(root.used)), ("cursor", .integer(root.cursor)),
    ]
    add(
      name, .object(members),
      "\(root.used) in use of \(root.limit) numbers, root block \(root.address), height \(root.height)")
  }
}
