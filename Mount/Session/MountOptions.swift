import FileProtocol
import Glibc

/// What `-o` says, as mount(8), fstab(5) and people spell it.
public struct MountOptions: Sendable, Equatable {
  /// When reading a file moves its access time.
  public enum AccessTimes: Sendable { case never, relative, always }

  /// What is done when the device warns that what is written may be lost.
  public enum HealthPolicy: Sendable { case warn, becomeReadOnly }

  public var readOnly = false
  public var health = HealthPolicy.warn
  public var accessTimes = AccessTimes.relative
  /// A background commit starts within this many seconds of the oldest change.
  public var commitSeconds: UInt64 = 5
  /// The memory for cached blocks, in bytes.
  public var cacheBytes: UInt64 = 128 << 20
  /// How long requests wait for a controller that does not answer before they fail, in seconds.
  public var deviceTimeoutSeconds: UInt64 = 600
  /// How much of the room for files only root may take, in percent; nil for what is usual: 5 where root
  /// mounts, and nothing where it is another user's.
  public var rootPercent: Int?
  /// Whether freed space is deallocated on the device.
  public var discards = true
  /// Whether others than the one who mounts may use it; nil to leave it to who that is.
  public var allowOther: Bool?
  /// Whether umount(2) and sync(2) wait for the daemon; nil to have it where it can be had.
  public var waits: Bool?
  /// Whether the daemon gives up the rights and system calls that it does not need.
  public var confines = true
  /// Whether a mount that is there is to be changed.
  public var isRemount = false
  /// What mount(8) shows as the source; nil for the device.
  public var source: String?
  /// What the kernel's mount table is told, `ro` and `noatime` included.
  public var mountFlags: [String] = ["dev", "suid"]
  /// Of `dev`, `suid` and `exec`, those of which it was said whether they hold.
  private var chosen: Set<String> = []

  /// The least cache that works, in bytes.
  public static let minimumCache: UInt64 = 16 << 20

  public init() {}

  /// Reads the arguments of one or more `-o`, the later over the earlier.
  /// - Throws: `MountError` naming an option that is unknown or has a value it cannot have.
  public init(_ arguments: [String]) throws(MountError) {
    for argument in arguments {
      for word in Self.words(argument) { try take(word) }
    }
    if readOnly { mountFlags.append("ro") }
    if accessTimes == .never { mountFlags.append("noatime") }
  }

  /// Whether one mount can be both: what is the filesystem's own is the same. Flags of the kernel's are each
  /// place's own.
  public func agrees(with other: MountOptions) -> Bool {
    readOnly == other.readOnly && accessTimes == other.accessTimes && commitSeconds == other.commitSeconds
      && cacheBytes == other.cacheBytes && rootPercent == other.rootPercent && discards == other.discards
      && allowOther == other.allowOther
  }

  /// Leaves out device files and set-user-ID programs, unless it was said that they are to work.
  /// - Returns: the flags that do so.
  public mutating func distrust() -> [String] {
    ["suid", "dev"].filter { leaveOut($0) }.map { "no" + $0 }
  }

  /// Leaves out what a flag allows, unless it was said whether that works.
  /// - Returns: whether it was not.
  @discardableResult
  mutating func leaveOut(_ flag: String) -> Bool {
    guard !chosen.contains(flag) else { return false }
    replace(flag, "no" + flag, with: "no" + flag)
    return true
  }

  /// Splits at commas that no backslash precedes.
  static func words(_ argument: String) -> [String] {
    var words: [String] = []
    var word = ""
    var escaped = false
    for character in argument {
      if escaped {
        word.append(character)
        escaped = false
      } else if character == "\\" {
        escaped = true
      } else if character == "," {
        words.append(word)
        word = ""
      } else {
        word.append(character)
      }
    }
    return (words + [word]).filter { !$0.isEmpty }
  }

  private mutating func take(_ word: String) throws(MountError) {
    let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
    let key = String(parts[0])
    if parts.count == 2 { return try take(key, value: String(parts[1])) }
    switch key {
    case "ro": readOnly = true
    case "rw": readOnly = false
    case "noatime": accessTimes = .never
    case "relatime", "atime": accessTimes = .relative
    case "strictatime": accessTimes = .always
    case "discard": discards = true
    case "nodiscard": discards = false
    case "fuseblk": waits = true
    case "nofuseblk": waits = false
    case "allow_other": allowOther = true
    case "noallow_other": allowOther = false
    case "dev", "suid", "exec":
      replace("no" + key, key, with: key)
      chosen.insert(key)
    case "nodev", "nosuid", "noexec":
      replace(String(key.dropFirst(2)), key, with: key)
      chosen.insert(String(key.dropFirst(2)))
    case "sync", "dirsync": replace("async", key, with: key)
    case "async": replace("sync", key, with: key)
    case "remount": isRemount = true
    default:
      guard Self.ignored.contains(key) || Self.isForOthers(key) else {
        throw MountError("unknown option \(key)", remedy: "see: mount.varve --help")
      }
    }
  }

  private mutating func take(_ key: String, value: String) throws(MountError) {
    switch key {
    case "commit":
      guard let seconds = UInt64(value), (1...300).contains(seconds) else {
        throw MountError("commit=\(value) is not a number of seconds from 1 to 300")
      }
      commitSeconds = seconds
    case "cache":
      guard let bytes = ByteSize.parse(value), (Self.minimumCache...1 << 40).contains(bytes) else {
        throw MountError("cache=\(value) is not a size of at least 16M", remedy: "write it like cache=256M")
      }
      cacheBytes = bytes
    case "reserve":
      guard let percent = Int(value), (0...Options.largestRootPercent).contains(percent) else {
        throw MountError(
          "reserve=\(value) is not a number of percent from 0 to \(Options.largestRootPercent)")
      }
      rootPercent = percent
    case "device_timeout":
      guard let seconds = UInt64(value), seconds <= 86_400 else {
        throw MountError("device_timeout=\(value) is not a number of seconds from 0 to 86400")
      }
      deviceTimeoutSeconds = seconds
    case "health":
      guard let policy = ["warn": HealthPolicy.warn, "ro": .becomeReadOnly][value] else {
        throw MountError("health=\(value) is neither health=warn nor health=ro")
      }
      health = policy
    case "confine":
      guard let confines = ["yes": true, "no": false][value] else {
        throw MountError("confine=\(value) is neither confine=yes nor confine=no")
      }
      self.confines = confines
    case "fsname": source = value
    case "subtype", "user": break
    case "uid", "gid", "umask", "fmask", "dmask", "mode":
      throw MountError(
        "\(key)= is not supported: owners and permissions are stored on the disk",
        remedy: "change them once it is mounted, with chown and chmod")
    default:
      guard Self.isForOthers(key) else {
        throw MountError("unknown option \(key)=", remedy: "see: mount.varve --help")
      }
    }
  }

  private mutating func replace(_ first: String, _ second: String, with flag: String) {
    mountFlags.removeAll { $0 == first || $0 == second }
    mountFlags.append(flag)
  }

  /// Generic options that mean nothing here, or only to mount(8).
  private static let ignored: Set<String> = [
    "defaults", "auto", "noauto", "user", "nouser", "users", "owner", "group", "nofail", "_netdev", "silent",
    "loud",
    "diratime", "nodiratime", "norelatime", "nostrictatime", "lazytime", "nolazytime", "iversion",
    "noiversion",
    "mand", "nomand", "symfollow", "default_permissions", "nonempty",
  ]

  /// Those of mount(8) and systemd, and what the kernel shows of a FUSE mount, which mount(8) repeats at a
  /// remount.
  private static let othersKeys: Set<String> = [
    "comment", "helper", "uhelper", "fd", "rootmode", "user_id", "group_id", "max_read", "blksize",
  ]

  /// Whether an option is by its name somebody else's: x-systemd.automount, X-mount.mkdir, comment=…
  private static func isForOthers(_ key: String) -> Bool {
    key.hasPrefix("x-") || key.hasPrefix("X-") || othersKeys.contains(key)
  }
}

/// A number of bytes as people write it.
enum ByteSize {
  /// Reads `4096`, `64K`, `256M` or `2G` (powers of 1024); nil when it is none of these or too large.
  static func parse(_ text: String) -> UInt64? {
    let shifts: [Character: UInt64] = ["K": 10, "M": 20, "G": 30, "T": 40]
    guard let last = text.last else { return nil }
    let shift = shifts[Character(last.uppercased())]
    let digits = shift == nil ? text[...] : text.dropLast()
    guard digits.allSatisfy({ $0.isASCII && $0.isNumber }), let number = UInt64(digits) else { return nil }
    let (bytes, overflow) = number.multipliedReportingOverflow(by: 1 << (shift ?? 0))
    return overflow ? nil : bytes
  }
}
