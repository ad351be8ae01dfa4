import Device
import Format
import JSONValue

/// The usage table: what each segment holds.
struct UsageDump {
  private let geometry: Geometry
  private let entries: [UsageEntry]

  init(_ volume: Volume) throws(DumpError) {
    geometry = volume.geometry
    let pack = try volume.checkpoint()
    var entries: [UsageEntry] = []
    for (index, selection) in pack.usage.enumerated() {
      let address = volume.geometry.usageBlock(UInt32(index), copy: selection.copy)
      let block = try volume.block(address, checksum: selection.checksum, "usage block \(index)")
      let count = min(Int(geometry.segmentCount) - entries.count, Int(Geometry.usagePerBlock))
      block.read { page in for entry in 0..<count { entries.append(UsageEntry(page, index: entry)) } }
    }
    self.entries = entries
  }

  private var used: Int { entries.count { $0.state == .used } }
  private var live: UInt64 { entries.reduce(0) { $0 + UInt64($1.live) } }

  var json: JSON {
    .object([
      ("segments", .integer(entries.count)), ("used", .integer(used)),
      ("free", .integer(entries.count - used)), ("live_blocks", .integer(live)),
      (
        "entries",
        .array(
          entries.enumerated().map { index, entry in
            .object([
              ("segment", .integer(index)),
              ("block", .integer(geometry.segmentBlock(UInt32(truncatingIfNeeded: index)))),
              ("state", .text("\(entry.state)")), ("live", .integer(entry.live)),
              ("age", .integer(entry.age)),
            ])
          })
      ),
    ])
  }

  /// The segments in use; the free ones are counted only.
  var text: String {
    var table = Table("Segment", "Block", "Live", "Share", "Age")
    for (index, entry) in entries.enumerated() where entry.state == .used {
      let share = 100 * Double(entry.live) / Double(geometry.segmentBlocks)
      table.add(
        "\(index)", "\(geometry.segmentBlock(UInt32(truncatingIfNeeded: index)))", "\(entry.live)",
        "\(decimal(share, digits: 0))%", "\(entry.age)")
    }
    let bytes = live * UInt64(Page.size)
    return """
      \(entries.count) segments of \(geometry.segmentBlocks) blocks: \(used) used, \(entries.count - used) free; \
      \(live) live blocks (\(Size.text(bytes)))
      \(table.text)
      """
  }
}
