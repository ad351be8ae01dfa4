/// How the kernel is to mount and to treat the filesystem.
public struct SessionOptions: Sendable, Equatable {
  /// Whether something is to be had: not at all, if it can be, or in any case.
  public enum Waiting: Sendable { case never, preferred, required }

  /// What mount(8) shows as the source.
  public var source = "varve"
  /// The part of the type after `fuse.`.
  public var subtype = "varve"
  /// Whether umount(2) and sync(2) are to wait for the daemon. Only root can have that.
  public var waiting = Waiting.never
  /// Whether `source` is a block device, and the type fuseblk.
  var isBlockDevice = false
  /// Whether users other than the one who mounts may use it.
  public var allowOther = true
  /// Options for the kernel's mount table, as mount(8) spells them: `ro`, `nosuid`, `nodev`, `noexec`,
  /// `dirsync`, …
  public var mountFlags: [String] = ["dev", "suid"]

  /// How long, in seconds, the kernel may trust a name or attributes without asking. Long, because every
  /// change comes through this one mount.
  public var timeout: Double = 86400 * 365
  /// The largest write, in bytes; the session takes it down to the slots' `maximumTransfer`.
  public var maximumWrite: UInt32 = 1 << 20
  /// The largest read, in bytes. A direct read that is larger becomes several requests, the first of which is
  /// served while the kernel still pins the memory for the next.
  public var maximumRead: UInt32 = 512 << 10
  /// How far the kernel may read ahead, in bytes.
  public var readahead: UInt32 = 1 << 20
  /// How many read-aheads and asynchronous direct requests the kernel may have under way. Many more than may
  /// wait for the kernel to forget pages (`PageForgetter.limit`): a read-ahead that is held back for them
  /// keeps its pages locked.
  public var maximumBackground: UInt32 = 1024
  /// Of those, how many make the kernel hold back.
  public var congestionThreshold: UInt32 = 768
  /// Whether open, opendir and their releases are the kernel's alone, so that each saves a round trip.
  ///
  /// The service then learns of a node's use by its lookups and forgets only.
  public var opensInKernel = true

  public init() {}

  /// The options as one `-o` argument, with what would end an option escaped.
  var argument: String {
    var words = ["fsname=\(Self.escaped(source))", "subtype=\(Self.escaped(subtype))", "default_permissions"]
    // libfuse wants it to be told twice.
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
