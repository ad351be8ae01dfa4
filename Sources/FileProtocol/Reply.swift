/// The answer to a request. `FileService` writes it into the slot before it announces the slot in
/// `Effects.finished`.
public struct Reply {
  /// 0 for success, else an errno.
  public var error: Int32 = 0
  /// lookup, create, mknod, mkdir, symlink, link: the FUSE node id, counted as one lookup. With `error` 0 and
  /// node 0, lookup returns a negative entry that the kernel may cache.
  public var node: UInt64 = 0
  /// lookup: the inode cannot be read. Only its type is known, from the directory entry, which is enough to
  /// remove the name; the kernel must request everything else, and gets EIO then.
  public var isUnreadable = false
  /// getattr: the kernel must not cache the attributes.
  public var isDoubtful = false
  /// Entry, getattr and setattr answers.
  public var attributes = Attributes()
  /// open, create, opendir.
  public var handle: UInt64 = 0
  /// open, create: the kernel may keep the file's page cache.
  public var keepCache = false
  /// write: bytes written. read: bytes read, which begin `dataOffset` bytes into the slot's data frames.
  /// getxattr, listxattr: the length of `bytes` or, with a request length of 0, of the whole value.
  public var count: UInt64 = 0
  /// write, fallocate: suid or sgid was cleared, or times changed in a way that the kernel does not see, so
  /// that it must invalidate its cached attributes.
  public var attributesChanged = false
  /// write: the range whose cached pages the kernel must invalidate before the reply.
  public var staleBytes: Range<UInt64>?
  /// rename, lseek that are not `isWrittenBack`: no reply yet; nothing was changed, and the request is to come
  /// again once the kernel has sent its writes to this node. 0 for a reply.
  public var writtenBackFirst: UInt64 = 0
  /// write: the payload stays in use until the slot is in `Effects.released`.
  public var keepsSlot = false
  /// read: where in the slot's data frames the data begins, in bytes.
  public var dataOffset: Int = 0
  /// readlink, getxattr, listxattr.
  public var bytes: [UInt8] = []
  /// readdir, readdirplus: entries in order, never more than the request's length can hold when each takes
  /// 24 bytes (readdir) or 152 bytes (readdirplus) and its name rounded up to 8.
  public var entries: [DirectoryEntry] = []
  /// lseek.
  public var offset: UInt64 = 0
  /// statfs.
  public var space = SpaceReport()

  public init() {}
}
