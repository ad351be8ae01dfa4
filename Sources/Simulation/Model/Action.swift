import FileProtocol

/// An action of a client of the filesystem. Nodes are numbers of the model; 0 is the root directory.
public enum Action {
  case lookup(parent: Int, name: String)
  /// Makes a regular file and leaves it open. `id` comes from `World.reserve`, here and below.
  case create(parent: Int, name: String, mode: UInt32, id: Int)
  /// Makes a regular file without a name (O_TMPFILE), and leaves it open.
  case createUnnamed(parent: Int, mode: UInt32, id: Int)
  case makeNode(parent: Int, name: String, mode: UInt32, device: UInt32, id: Int)
  case makeDirectory(parent: Int, name: String, mode: UInt32, id: Int)
  case makeSymlink(parent: Int, name: String, target: String, id: Int)
  case link(node: Int, parent: Int, name: String)
  case unlink(parent: Int, name: String)
  case removeDirectory(parent: Int, name: String)
  case rename(parent: Int, name: String, newParent: Int, newName: String, flags: UInt32)
  case change(node: Int, AttributeChange)
  case setAttribute(node: Int, name: String, value: [UInt8], flags: UInt32)
  case removeAttribute(node: Int, name: String)
  /// Writes stamped data; with `sync` through a descriptor of O_SYNC.
  case write(node: Int, offset: UInt64, length: Int, sync: Bool)
  /// Reads and compares.
  case read(node: Int, offset: UInt64, length: Int)
  case allocate(node: Int, mode: UInt32, offset: UInt64, length: UInt64)
  /// fsync or fsyncdir.
  case sync(node: Int, dataOnly: Bool)
  /// syncfs.
  case syncAll
  case close(node: Int)
  /// Reads a directory and compares.
  case list(node: Int)
  /// Compares attributes, target and extended attributes.
  case inspect(node: Int)
  case space
  /// The kernel gives back all lookups of a node.
  case forget(node: Int)
  /// Lets time pass without requests.
  case idle(nanoseconds: UInt64)
}

extension AttributeChange {
  /// A change of permission bits.
  public static func mode(_ mode: UInt32) -> AttributeChange {
    var change = AttributeChange()
    change.mode = mode
    return change
  }

  /// A change of owner and group.
  public static func owner(_ uid: UInt32, _ gid: UInt32) -> AttributeChange {
    var change = AttributeChange()
    change.uid = uid
    change.gid = gid
    return change
  }

  /// A change of size.
  public static func size(_ size: UInt64) -> AttributeChange {
    var change = AttributeChange()
    change.size = size
    return change
  }

  /// A change of times, in ns since 1970; of those that are given.
  public static func times(accessed: Int64?, modified: Int64?) -> AttributeChange {
    var change = AttributeChange()
    change.accessTime = accessed
    change.modificationTime = modified
    return change
  }
}

/// Linux's numbers that requests carry.
public enum LinuxFlag {
  public static let renameNoReplace: UInt32 = 1
  public static let renameExchange: UInt32 = 2
  public static let renameWhiteout: UInt32 = 4
  public static let attributeCreate: UInt32 = 1
  public static let attributeReplace: UInt32 = 2
  public static let keepSize: UInt32 = 1
  public static let punchHole: UInt32 = 2
  public static let zeroRange: UInt32 = 16
  public static let readWrite: UInt32 = 2
  public static let sync: UInt32 = 0o4010000
  public static let truncate: UInt32 = 0o1000
  public static let append: UInt32 = 0o2000
}

/// File types in a mode.
public enum FileType {
  public static let mask: UInt32 = 0o170000
  public static let directory: UInt32 = 0o040000
  public static let regular: UInt32 = 0o100000
  public static let symlink: UInt32 = 0o120000
  public static let fifo: UInt32 = 0o010000
  public static let character: UInt32 = 0o020000
}
