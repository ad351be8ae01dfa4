import FileProtocol
import Glibc

/// The options of `-o`, as in mount(8) and fstab(5).
public struct MountOptions: Sendable, Equatable {
  /// When a read updates the access time.
  public enum AccessTimes: Sendable { case never, relative, always }

  /// The reaction to a warning of the device that written data may be lost.
  public enum HealthPolicy: Sendable { case warn, becomeReadOnly }

  /// Whether the daemon follows its callers to their processors; `automatic`: where a wake-up across processors
  /// is dear.
  public enum Following: Sendable { case on, off, automatic }

  public var readOnly = false
  public var health = HealthPolicy.warn
  public var accessTimes = AccessTimes.relative
  /// A background commit starts within this many seconds of the oldest change.
  public var commitSeconds: UInt64 = 5
  /// The memory for cached blocks, in bytes.
  public var cacheBytes: UInt64 = 128 << 20
  /// How long requests wait for a controller that does not answer before they fail, in seconds.
  public var deviceTimeoutSeconds: UInt64 = 600
  /// The part of the space for files that is reserved for root, in percent; nil for the default: 5 for root's
  /// mounts, and 0 for other users'.
  public var rootPercent: Int?
  /// Whether freed space is deallocated on the device.
  public var discards = true
  /// Whether users other than the mount's owner may use it; nil for the default: only with root's mounts.
  public var allowOther: Bool?
  /// Whether umount(2) and sync(2) wait for the daemon; nil for where it is possible.
  public var waits: Bool?
  /// Whether the daemon gives up the rights and system calls that it does not need.
  public var confines = true
  public var following = Following.automatic
  /// Whether the kernel keeps what programs write until a file is closed or synced, instead of passing each
  /// write(2) on.
  public var writesBack = false
  /// Whether programs that write to one file with O_DIRECT may do so at the same time.
  public var writesInParallel = false
  /// Beyond how many known inodes the kernel is asked to drop some; nil for the default, by the machine's
  /// memory.
  public var knownInodes: Int?
  /// Whether the daemon logs each event of the mount.
  public var traces = false
  /// Whether an existing mount is to be changed.
  public var isRemount = false
  /// The source that mount(8) shows; nil for the device.
  public var source: String?
  /// The flags for the kernel's mount table, `ro` and `noatime` included.
  public var mountFlags: [String] = ["dev", "suid"]
  /// Those of `dev`, `suid` and `exec` that were given explicitly, with or without `no`.
  private var chosen: Set<String> = []

  /// The smallest cache in bytes.
  public static let minimumCache: UInt64 = 16 << 20

  public init() {}

  /// Parses the arguments of one or more `-o`; later ones take precedence.
  /// - Throws: `MountError` naming an option that is unknown or has a value it cannot have.
  public init(_ arguments: [String]) throws(MountError) {
    for argument in arguments {
      for word in Self.words(argument) { try take(word) }
    }
    if readOnly { mountFlags.append("ro") }
    if accessTimes == .never { mountFlags.append("noatime") }
  }

  /// Whether one filesystem can serve both mounts: the filesystem's options are the same. The kernel's flags
  /// may differ between mount points.
  public func agrees(with other: MountOptions) -> Bool {
    readOnly == other.readOnly && accessTimes == other.accessTimes && commitSeconds == other.commitSeconds
      && cacheBytes == other.cacheBytes && rootPercent == other.rootPercent && discards == other.discards
      && allowOther == other.allowOther && writesBack == other.writesBack
      && writesInParallel == other.writesInParallel && knownInodes == other.knownInodes
  }

  /// Adds `nodev` and `nosuid`, unless `dev` or `suid` was given.
  /// - Returns: the flags that were added.
  public mutating func distrust() -> [String] {
    ["suid", "dev"].filter { leaveOut($0) }.map { "no" + $0 }
  }

  /// Replaces a flag by its `no` form, unless the flag was given explicitly.
  /// - Returns: whether it was replaced.
  @discardableResult
  mutating func leaveOut(_ flag: String) -> Bool {
    guard !chosen.contains(flag) else { return false }
    replace(flag, "no" + flag, with: "no" + flag)
    return true
  }

  /// Splits at commas that are not escaped by a backslash.
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
    case "writeback": writesBack = true
    case "nowriteback": writesBack = false
    case "parallel_direct_writes": writesInParallel = true
    case "noparallel_direct_writes": writesInParallel = false
    case "trace": traces = true
    case "notrace": traces = false
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
    case "known_inodes":
      guard let count = Int(value), (KnownInodes.minimum...1 << 30).contains(count) else {
        throw MountError("known_inodes=\(value) is not a number of at least \(KnownInodes.minimum)")
      }
      knownInodes = count
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
    case "follow":
      guard let following = ["on": Following.on, "off": .off, "auto": .automatic][value] else {
        throw MountError("follow=\(value) is neither follow=on nor follow=off nor follow=auto")
      }
      self.following = following
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

  /// Generic options that have no effect here, or only in mount(8).
  private static let ignored: Set<String> = [
    "defaults", "auto", "noauto", "user", "nouser", "users", "owner", "group", "nofail", "_netdev", "silent",
    "loud",
    "diratime", "nodiratime", "norelatime", "nostrictatime", "lazytime", "nolazytime", "iversion",
    "noiversion",
    "mand", "nomand", "symfollow", "default_permissions", "nonempty",
  ]

  /// Keys of mount(8) and systemd, and those that the kernel shows for a FUSE mount, which mount(8) repeats
  /// at a remount.
  private static let othersKeys: Set<String> = [
    "comment", "helper", "uhelper", "fd", "rootmode", "user_id", "group_id", "max_read", "blksize",
  ]

  /// Whether an option is meant for other programs: x-systemd.automount, X-mount.mkdir, comment=…
  private static func isForOthers(_ key: String) -> Bool {
    key.hasPrefix("x-") || key.hasPrefix("X-") || othersKeys.contains(key)
  }
}

/// A number of bytes with an optional unit.
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
