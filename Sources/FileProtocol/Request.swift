/// The kind of a request.
///
/// open, opendir and their releases may never come: a mount lets the kernel open files without a request
/// (no_open), which saves a round trip each. So a node is in use as long as it has lookups that were not
/// forgotten, whatever files are open; a node without a name exists until then; and read, write and readdir
/// may have any handle. create and createUnnamed always come, their release perhaps not.
public enum Operation: UInt8, Sendable {
  case lookup, getattr, setattr, readlink, mknod, mkdir, unlink, rmdir, symlink, link, rename
  case open, create, createUnnamed, read, write, flush, release, fsync
  case opendir, readdir, readdirplus, releasedir, fsyncdir
  case statfs, syncfs, setxattr, getxattr, listxattr, removexattr
  case fallocate, lseek
}

/// One request, as a value. The reactor keeps one in each slot and fills it before `FileService.begin`.
///
/// Names and payloads are pointers into the slot's memory and stay valid until the slot's reply was taken; so
/// a request can be run again after a cache miss.
public struct Request {
  public var operation: Operation = .lookup
  /// The FUSE node id the request is about; the parent directory where a name is given.
  public var node: UInt64 = 0
  /// The other node: link's inode (node is then the new parent), rename's new parent.
  public var otherNode: UInt64 = 0
  /// The handle that open, create or opendir returned.
  public var handle: UInt64 = 0
  public var uid: UInt32 = 0
  public var gid: UInt32 = 0
  public var pid: UInt32 = 0
  /// The name in the directory `node`, or an extended attribute's name. Without NUL.
  public var name = UnsafeRawBufferPointer(start: nil, count: 0)
  /// rename's new name, symlink's target, setxattr's value. Without NUL (the value may hold any byte).
  public var otherName = UnsafeRawBufferPointer(start: nil, count: 0)
  /// A byte offset (read, write, fallocate, lseek) or a directory cookie (readdir).
  public var offset: UInt64 = 0
  /// A length in bytes: read, write, fallocate; the room for the answer: readdir, getxattr, listxattr.
  public var length: UInt64 = 0
  /// open: O_* flags; read and write: the open file's O_* flags; rename: RENAME_*; fallocate: FALLOC_FL_*;
  /// setxattr: XATTR_*; lseek: whence; fsync and fsyncdir: 1 for data only.
  public var flags: UInt32 = 0
  /// mknod, mkdir, create, createUnnamed: type and permission bits, umask already applied by the kernel.
  public var mode: UInt32 = 0
  /// mknod: the device number.
  public var device: UInt32 = 0
  /// Whether a write, truncate or fallocate must clear suid and sgid (FUSE_WRITE_KILL_SUIDGID,
  /// FATTR_KILL_SUIDGID). A change of owner always does.
  public var killPrivileges = false
  /// read and write: whether it bypasses the kernel's page cache (O_DIRECT).
  public var isDirect = false
  /// write: whether it is the kernel's write-back, of mapped pages or of a write-back cache, for whose answer no
  /// program waits.
  public var isWriteback = false
  /// write, fallocate: whether the kernel sets the file's times, by a setattr of its own, as it does with a
  /// write-back cache. It has removed privileges then when the program wrote, before it wrote back.
  public var keepsTimes = false
  /// rename, lseek: whether the kernel has sent all writes to the file. Where it may not have, the service can
  /// have it do so (`Reply.writtenBackFirst`).
  public var isWrittenBack = true
  /// getattr: whether the reply has to have the birth time.
  public var asksBirthTime = false
  /// getattr: whether it precedes a read of the file.
  public var isForReading = false
  public var change = AttributeChange()
  /// The first of the slot's data frames in the arena. A read's data is put there, from the frame's start; a
  /// write's payload of `length` bytes begins at `payloadOffset` bytes into it.
  public var firstFrame: UInt32 = 0
  /// How many data frames the slot has.
  public var frameCount: UInt32 = 0
  /// Where a write's payload begins, in bytes from the start of `firstFrame`: 0 when it is page-aligned.
  public var payloadOffset: Int = 0

  public init() {}
}

/// The attributes that setattr changes: those that are not nil.
public struct AttributeChange: Sendable {
  public var mode: UInt32?
  public var uid: UInt32?
  public var gid: UInt32?
  public var size: UInt64?
  /// Nanoseconds since 1970; the `now` fields stand for the time of the request.
  public var accessTime: Int64?
  public var modificationTime: Int64?
  /// Only a kernel that keeps the times of a file itself (a write-back cache) sets it; nil otherwise, for the
  /// time of the request.
  public var changeTime: Int64?
  public var accessTimeNow = false
  public var modificationTimeNow = false
  public init() {}
}

/// An inode's attributes, as stat(2) shows them.
public struct Attributes: Sendable, Equatable {
  /// The inode number for stat(2); not the FUSE node id.
  public var number: UInt64 = 0
  public var mode: UInt32 = 0
  public var links: UInt32 = 0
  public var uid: UInt32 = 0
  public var gid: UInt32 = 0
  public var device: UInt32 = 0
  public var size: UInt64 = 0
  /// Allocated space in 512-byte units.
  public var sectors: UInt64 = 0
  /// Nanoseconds since 1970.
  public var accessTime: Int64 = 0
  public var modificationTime: Int64 = 0
  public var changeTime: Int64 = 0
  /// When it was made.
  public var birthTime: Int64 = 0
  public init() {}
}

/// statfs(2)'s answer. Blocks are 4 KiB.
public struct SpaceReport: Sendable, Equatable {
  public var blocks: UInt64 = 0
  public var free: UInt64 = 0
  public var available: UInt64 = 0
  public var files: UInt64 = 0
  public var filesFree: UInt64 = 0
  public init() {}
}

/// One name of a directory, for readdir.
public struct DirectoryEntry {
  public var name: [UInt8]
  /// Where readdir continues after this entry.
  public var cookie: UInt64
  /// The FUSE node id; with readdirplus counted as one lookup unless the name is "." or "..". 0 for an inode
  /// that cannot be read.
  public var node: UInt64
  /// For plain readdir only `number` and the type bits of `mode` are filled.
  public var attributes: Attributes
  public init(name: [UInt8], cookie: UInt64, node: UInt64, attributes: Attributes) {
    self.name = name
    self.cookie = cookie
    self.node = node
    self.attributes = attributes
  }
}
