import Format

/// A violation of the format, or a note.
public struct Finding: Sendable {
  /// How bad it is.
  public enum Severity: String, Sendable, Comparable, CaseIterable {
    /// Information; not an error.
    case note
    /// A count, a reference or a copy is wrong; no user data is lost.
    case inconsistency
    /// Names, attributes or contents cannot be read any more.
    case damage

    public static func < (a: Severity, b: Severity) -> Bool {
      func rank(_ severity: Severity) -> Int { allCases.firstIndex(of: severity) ?? 0 }
      return rank(a) < rank(b)
    }
  }

  /// The kind of finding, in words that tests and scripts may rely on.
  public enum Kind: String, Sendable, CaseIterable {
    case superblock, superblockCopy, pack, packCopy, usageBlock, usage, logPosition
    case tableBlock, tableCount, tableEntry
    case inode, inodeGeneration, blockCount, size
    case node, nodeReference, nodeUnreferenced
    case data, address, blockSharing
    case directoryNode, directoryRange, directoryRecord, directoryName, directoryNames, directoryKey,
      directoryType
    case directoryCount, danglingRecord, directoryParent, directoryLinked, directoryCycle
    case links, unreachable, orphan
    case attributes, reservedBlocks
  }

  /// Where it is.
  public enum Place: Sendable, Hashable {
    case superblock(copy: Int)
    case pack(slot: Int, copy: Int)
    case checkpoint
    case usageBlock(UInt32)
    case segment(UInt32)
    case tableBlock(OwnerKind, level: Int, index: UInt64)
    case inode(UInt64)
    /// A node of an inode: a map, directory or attribute node, or a long symlink's target.
    case node(UInt64, inode: UInt64)
    /// A block of a file, counted from its start.
    case file(UInt64, block: UInt64)
    /// A name in a directory.
    case name([UInt8], directory: UInt64)
  }

  public let kind: Kind
  public let severity: Severity
  public let place: Place
  /// What was found, and what was expected, in a few words.
  public let detail: String
  /// The steps that repair it; empty when none can without inventing or losing data.
  public let repairs: [Repair]
  /// Whether it may be repaired without asking, because only counts and copies change.
  public let isSafe: Bool

  /// Whether it can be repaired.
  public var isRepairable: Bool { !repairs.isEmpty }

  init(
    _ kind: Kind, _ severity: Severity, _ place: Place, _ detail: String, repairs: [Repair] = [],
    isSafe: Bool = false
  ) {
    self.kind = kind
    self.severity = severity
    self.place = place
    self.detail = detail
    self.repairs = repairs
    self.isSafe = isSafe && !repairs.isEmpty
  }
}

/// One step of a repair. Steps change nodes in memory; together they become a new checkpoint.
public enum Repair: Sendable, Hashable {
  /// Writes both superblocks again from the good one.
  case rewriteSuperblocks
  /// Repairs what every new checkpoint writes anyway: usage table, pack copies, counts in the roots.
  case newCheckpoint
  case setLinks(inode: UInt64, UInt32)
  case setBlocks(inode: UInt64, UInt64)
  case setSize(inode: UInt64, UInt64)
  case setParent(directory: UInt64, UInt64)
  /// Removes a record from a directory.
  case dropRecord(directory: UInt64, key: UInt64, node: UInt64)
  /// Puts those of an inode's extended attributes that can still be read into new nodes.
  case rebuildAttributes(UInt64)
  /// Puts a directory's records into new nodes, with correct keys, types and counts, and each name once.
  case rebuildDirectory(UInt64)
  /// Puts those of a damaged directory's records that can still be found into new nodes.
  case salvageDirectory(UInt64)
  /// Gives an inode without a name a name in lost+found.
  case reattach(inode: UInt64)
  /// Puts an inode into the orphan directory: the next mount frees it, or its detached tree.
  case orphan(inode: UInt64)
  /// Frees the number of a node to which nothing refers.
  case freeNode(UInt64)
  /// Gives up an inode that cannot be read or freed: its number becomes free. The nodes and inodes to which
  /// only it referred become free; inodes that have links move to lost+found.
  case clearInode(UInt64)
  /// Replaces the root or the orphan directory by an empty one.
  case remakeDirectory(UInt64)
  /// Drops an inode's detached tree, whose blocks cannot be freed one by one.
  case dropCutOff(inode: UInt64)
  /// Gives up a table block that cannot be read: the numbers below it are no longer in use, and never
  /// allocated again.
  case retireTableBlock(OwnerKind, level: Int, index: UInt64)
}

extension Finding: CustomStringConvertible {
  public var description: String { "\(place): \(detail)" }
}

extension Finding.Place: CustomStringConvertible {
  public var description: String {
    switch self {
    case .superblock(let copy): copy == 0 ? "superblock" : "superblock, second copy"
    case .pack(let slot, let copy): "checkpoint pack \(slot), copy \(copy == 0 ? "A" : "B")"
    case .checkpoint: "checkpoint"
    case .usageBlock(let index): "usage block \(index)"
    case .segment(let segment): "segment \(segment)"
    case .tableBlock(let kind, let level, let index):
      "\(kind == .inodeTable ? "inode table" : "node table") block \(index) of level \(level)"
    case .inode(let number): "inode \(number)"
    case .node(let number, let inode): inode == 0 ? "node \(number)" : "inode \(inode), node \(number)"
    case .file(let inode, let block): "inode \(inode), block \(block) of the file"
    case .name(let name, let directory): "directory \(directory), name \"\(name.printable)\""
    }
  }
}
