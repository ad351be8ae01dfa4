/// One change of names, attributes or contents as the log holds it, to be applied again at recovery.
///
/// Records contain results: the number that was allocated, the link count after the change. Node ids are
/// `NodeID.raw`; times are nanoseconds since 1970; byte buffers are valid as long as the memory they were
/// read from.
///
/// A new kind needs its fields (`RecordFields`), its coding and flags (`LogRecordCoding.swift`), its layout
/// (`StructureLayout`), a section in SPEC-Replay, `Changes.prepare` and `perform`, `Replay.checkPossible`, its
/// line in `varve dump`, and Tests/decoder/replay.py. It must not be longer than the longest attribute, for
/// which the log and `Space` keep room.
public enum LogRecord {
  public typealias Bytes = UnsafeRawBufferPointer

  /// A new inode `node` called `name` in `parent`; `target` is a symlink's. With an empty name, in the orphan
  /// directory, it is a file without a name.
  case create(Create)
  /// A further name for `node`, which then has `links` names.
  case link(parent: UInt64, node: UInt64, links: UInt32, time: Int64, name: Bytes)
  /// Removes a name of `node` (rmdir: of a directory), which then has `links` names.
  case unlink(parent: UInt64, node: UInt64, links: UInt32, time: Int64, name: Bytes)
  /// Removes a name of an inode that cannot be read; the inode stays as it is.
  case dropName(parent: UInt64, node: UInt64, time: Int64, name: Bytes)
  case rename(Rename)
  case setAttributes(SetAttributes)
  /// Bytes written into the inline area of a small file.
  case writeInline(node: UInt64, offset: UInt32, time: Int64, data: Bytes)
  /// Data blocks were written: the file has at least `size` bytes. Where `changed` is missing, the change
  /// time becomes `modified`, unless it is later already.
  case written(node: UInt64, size: UInt64, modified: Int64, changed: Int64?)
  /// An extended attribute was set, or removed when `removes`.
  case attribute(node: UInt64, removes: Bool, time: Int64, name: Bytes, value: Bytes)
  /// fallocate: `mode` as of fallocate(2).
  case allocate(node: UInt64, mode: UInt32, offset: UInt64, length: UInt64, time: Int64)

  public struct Create {
    public var parent: UInt64
    public var node: UInt64
    public var mode: UInt32
    public var uid: UInt32
    public var gid: UInt32
    public var device: UInt32
    public var time: Int64
    public var name: Bytes
    public var target: Bytes
    public init(
      parent: UInt64, node: UInt64, mode: UInt32, uid: UInt32, gid: UInt32, device: UInt32, time: Int64,
      name: Bytes, target: Bytes
    ) {
      self.parent = parent
      self.node = node
      self.mode = mode
      self.uid = uid
      self.gid = gid
      self.device = device
      self.time = time
      self.name = name
      self.target = target
    }
  }

  public struct Rename {
    public var parent: UInt64
    public var newParent: UInt64
    public var node: UInt64
    /// The inode that had the new name: replaced, or exchanged; 0 for none.
    public var other: UInt64
    /// Whether the two names were exchanged.
    public var exchanges: Bool
    public var time: Int64
    public var name: Bytes
    public var newName: Bytes
    public init(
      parent: UInt64, newParent: UInt64, node: UInt64, other: UInt64, exchanges: Bool, time: Int64,
      name: Bytes,
      newName: Bytes
    ) {
      self.parent = parent
      self.newParent = newParent
      self.node = node
      self.other = other
      self.exchanges = exchanges
      self.time = time
      self.name = name
      self.newName = newName
    }
  }

  /// All attributes that setattr can change; with `sizeChanged` the file is truncated or extended to `size`.
  public struct SetAttributes {
    public var node: UInt64
    public var mode: UInt32
    public var uid: UInt32
    public var gid: UInt32
    public var sizeChanged: Bool
    public var size: UInt64
    public var accessTime: Int64
    public var modificationTime: Int64
    public var changeTime: Int64
    public init(
      node: UInt64, mode: UInt32, uid: UInt32, gid: UInt32, sizeChanged: Bool, size: UInt64,
      accessTime: Int64,
      modificationTime: Int64, changeTime: Int64
    ) {
      self.node = node
      self.mode = mode
      self.uid = uid
      self.gid = gid
      self.sizeChanged = sizeChanged
      self.size = size
      self.accessTime = accessTime
      self.modificationTime = modificationTime
      self.changeTime = changeTime
    }
  }

  enum Kind: UInt8, CaseIterable {
    case create = 1
    case link, unlink, rename, setAttributes, writeInline, written, attribute, allocate, dropName
  }
}
