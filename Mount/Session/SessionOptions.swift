/// How the kernel mounts and treats the filesystem.
public struct SessionOptions: Sendable, Equatable {
  /// Whether umount(2) and sync(2) wait: not at all, if possible, or as a requirement of the mount.
  public enum Waiting: Sendable { case never, preferred, required }

  /// The source that mount(8) shows.
  public var source = "varve"
  /// The part of the type after `fuse.`.
  public var subtype = "varve"
  /// Whether umount(2) and sync(2) wait for the daemon. Possible only for root.
  public var waiting = Waiting.never
  /// Whether `source` is a block device, and the type fuseblk.
  var isBlockDevice = false
  /// Whether users other than the mount's owner may use it.
  public var allowOther = true
  /// Options for the kernel's mount table, as mount(8) spells them: `ro`, `nosuid`, `nodev`, `noexec`,
  /// `dirsync`, …
  public var mountFlags: [String] = ["dev", "suid"]

  /// How long, in seconds, the kernel may cache names and attributes. Long, because every change comes
  /// through this one mount.
  public var timeout: Double = 86400 * 365
  /// The largest write, in bytes; the session lowers it to the slots' `maximumTransfer`.
  public var maximumWrite: UInt32 = 1 << 20
  /// The largest read, in bytes. A direct read that is larger becomes several requests, the first of which is
  /// served while the kernel still pins the memory for the next.
  public var maximumRead: UInt32 = 512 << 10
  /// How far the kernel may read ahead, in bytes.
  public var readahead: UInt32 = 1 << 20
  /// How many read-aheads and asynchronous direct requests the kernel may have outstanding. Many more than
  /// may wait for the invalidation of pages (`PageForgetter.limit`): a read-ahead that the kernel holds back
  /// keeps its pages locked.
  public var maximumBackground: UInt32 = 1024
  /// Whether the kernel handles open, opendir and their releases without a request, which saves a round trip
  /// each.
  ///
  /// The service then knows the use of a node only from lookups and forgets.
  public var opensInKernel = true
  /// Beyond how many known inodes the kernel is asked to drop some; nil for the default.
  public var knownInodes: Int?
  /// Whether the kernel keeps what programs write until a file is closed or synced.
  public var writesBack = false
  /// Whether direct writes to one file may go on at the same time; each open(2) is then a request.
  public var writesInParallel = false

  public init() {}

  /// The options as one `-o` argument, with commas and backslashes escaped.
  var argument: String {
    var words = ["fsname=\(Self.escaped(source))", "subtype=\(Self.escaped(subtype))", "default_permissions"]
    // libfuse needs this both as an option and in the handshake.
    words.append("max_read=\(maximumRead)")
    if allowOther { words.append("allow_other") }
    if isBlockDevice { words += ["blkdev", "blksize=4096"] }
    return (words + mountFlags.map(Self.escaped)).joined(separator: ",")
  }

  private static func escaped(_ text: String) -> String {
    var result = ""
    for character in text {
      if character == "," || character == "\\" { result.append("\\") }
      result.append(character)
    }
    return result
  }
}
