import Format
import ToolSupport

extension Fields {
  /// A record of the log; what it does comes first.
  init(_ record: LogRecord) {
    switch record {
    case .create(let create): addCreate(create)
    case .link(let parent, let node, let links, let time, let name):
      addName("link", parent, node, links, time, name)
    case .unlink(let parent, let node, let links, let time, let name):
      addName("unlink", parent, node, links, time, name)
    case .dropName(let parent, let node, let time, let name):
      begin("drop_name", node, time)
      add("parent", NodeID(raw: parent).text)
      add(bytes: name, "name")
    case .rename(let rename): addRename(rename)
    case .setAttributes(let set): addSet(set)
    case .writeInline(let node, let offset, let time, let data):
      begin("write_inline", node, time)
      add("offset", offset)
      add("bytes", data.count)
    case .written(let node, let size, let modified, let changed):
      begin("written", node, modified)
      add("size", size)
      if let changed { add("changed", changed, timeText(changed)) }
    case .attribute(let node, let removes, let time, let name, let value):
      begin(removes ? "remove_attribute" : "set_attribute", node, time)
      add(bytes: name, "name")
      if !removes { add("bytes", value.count) }
    case .allocate(let node, let mode, let offset, let length, let time):
      begin("allocate", node, time)
      add(hexadecimal: mode, "mode")
      add("offset", offset)
      add("length", length)
    }
  }

  /// What every record has: what it does, to which inode, when.
  private mutating func begin(_ kind: String, _ node: UInt64, _ time: Int64) {
    add("record", kind)
    add("node", NodeID(raw: node).text)
    add("time", time, timeText(time))
  }

  private mutating func add(bytes: UnsafeRawBufferPointer, _ name: String) {
    let bytes = NameBytes(bytes)
    for (index, member) in bytes.members(name).enumerated() {
      add(member.name, member.value, index == 0 ? "\"\(bytes.text)\"" : nil)
    }
  }

  private mutating func addName(
    _ kind: String, _ parent: UInt64, _ node: UInt64, _ links: UInt32, _ time: Int64,
    _ name: UnsafeRawBufferPointer
  ) {
    begin(kind, node, time)
    add("parent", NodeID(raw: parent).text)
    add("links", links)
    add(bytes: name, "name")
  }

  private mutating func addCreate(_ create: LogRecord.Create) {
    begin("create", create.node, create.time)
    add("parent", NodeID(raw: create.parent).text)
    add("mode", create.mode, "0\(String(create.mode, radix: 8))")
    add("uid", create.uid)
    add("gid", create.gid)
    if create.device != 0 { add(hexadecimal: create.device, "device") }
    add(bytes: create.name, "name")
    if !create.target.isEmpty { add(bytes: create.target, "target") }
  }

  private mutating func addRename(_ rename: LogRecord.Rename) {
    begin(rename.exchanges ? "exchange" : "rename", rename.node, rename.time)
    add("parent", NodeID(raw: rename.parent).text)
    add(bytes: rename.name, "name")
    add("new_parent", NodeID(raw: rename.newParent).text)
    add(bytes: rename.newName, "new_name")
    if rename.other != 0 { add("other", NodeID(raw: rename.other).text) }
  }

  private mutating func addSet(_ set: LogRecord.SetAttributes) {
    begin("set_attributes", set.node, set.changeTime)
    add("mode", set.mode, "0\(String(set.mode, radix: 8))")
    add("uid", set.uid)
    add("gid", set.gid)
    if set.sizeChanged { add("size", set.size) }
    add("accessed", set.accessTime, timeText(set.accessTime))
    add("modified", set.modificationTime, timeText(set.modificationTime))
  }
}
