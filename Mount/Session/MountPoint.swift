import CMachine
import Glibc

/// A directory to mount at, or mounted at.
public struct MountPoint: Sendable, Equatable {
  /// Its path, absolute, with links resolved.
  public let path: String
  /// `major:minor` of what is mounted there, once something is.
  public private(set) var device: String?

  /// - Parameters:
  ///   - path: absolute, with links resolved.
  ///   - device: `major:minor` of what is mounted there.
  public init(path: String, device: String? = nil) {
    self.path = path
    self.device = device
  }

  /// Checks `directory`, and unmounts what a daemon that died has left there.
  /// - Throws: `MountError` when it is missing, no directory, or in use.
  public static func prepare(_ directory: String) throws(MountError) -> MountPoint {
    var path = try resolve(directory)
    // Each round unmounts one dead mount; several can be stacked.
    for _ in 0..<16 {
      guard let mounted = MountTable.top(at: path) else { break }
      guard mounted.type.hasPrefix("fuse"), isDead(path) else {
        throw MountError(
          "\(path) is in use: \(mounted.source) (\(mounted.type)) is mounted there",
          remedy: "unmount it first with: umount \(path)")
      }
      guard detach(path) else {
        throw MountError(
          "\(path) still holds the mount of a daemon that died", remedy: "as root: umount -l \(path)")
      }
      path = try resolve(directory)
    }
    try requireDirectory(path)
    return MountPoint(path: path)
  }

  /// The same mount point, with the device number of what was just mounted.
  func mounted() -> MountPoint {
    var point = self
    point.device = MountTable.top(at: path)?.device
    return point
  }

  /// The owner of the topmost mount there, if that is a FUSE mount.
  public var owner: uid_t? { MountTable.top(at: path)?.owner }

  /// Whether the topmost mount there is the one that `mounted` recorded.
  public var isStillMounted: Bool { device != nil && MountTable.top(at: path)?.device == device }

  /// All mount points of the filesystem in this process's mount namespace, this one first.
  public var places: [MountPoint] {
    guard let device else { return [] }
    let paths = MountTable.entries().filter { $0.device == device }.map(\.path)
    return ((paths.contains(path) ? [path] : []) + paths.filter { $0 != path }).map {
      MountPoint(path: $0, device: device)
    }
  }

  /// Unmounts it.
  /// - Throws: `MountError` when the kernel refuses, as while it is in use.
  public func unmount(lazily: Bool, forcibly: Bool) throws(MountError) {
    let flags = (lazily ? MNT_DETACH : 0) | (forcibly ? MNT_FORCE : 0) | UMOUNT_NOFOLLOW
    if umount2(path, Int32(flags)) == 0 { return }
    let code = errno
    if code == EPERM, fusermount(path, lazily: lazily) { return }
    throw MountError(
      "\(path) cannot be unmounted: \(String(cString: strerror(code)))",
      remedy: code == EBUSY ? "see who uses it with: fuser -vm \(path)" : "")
  }

  /// Detaches the mount, even when it is in use.
  /// - Returns: whether that was allowed.
  @discardableResult
  public func detach() -> Bool { Self.detach(path) }

  private static func detach(_ path: String) -> Bool {
    umount2(path, Int32(MNT_DETACH | UMOUNT_NOFOLLOW)) == 0 || fusermount(path, lazily: true)
  }

  /// Raises the kernel's read-ahead for what is mounted here; the FUSE handshake alone cannot go beyond the
  /// system's default. Does nothing where the process may not.
  func raiseReadahead(to bytes: UInt32) {
    guard let device else { return }
    let text = Array(String(bytes / 1024).utf8)
    // The kernel uses the latter name where the type is fuseblk.
    for name in [device, device + "-fuseblk"] {
      let descriptor = open("/sys/class/bdi/\(name)/read_ahead_kb", O_WRONLY | O_CLOEXEC)
      guard descriptor >= 0 else { continue }
      _ = write(descriptor, text, text.count)
      Glibc.close(descriptor)
    }
  }

  static func resolve(_ directory: String) throws(MountError) -> String {
    if let path = canonical(directory) { return path }
    // A dead mount point itself cannot be accessed, but its parent can.
    if meansDead(errno) {
      let trimmed = String(directory.reversed().drop { $0 == "/" }.reversed())
      let slash = trimmed.lastIndex(of: "/")
      let parent = slash.map { $0 == trimmed.startIndex ? "/" : String(trimmed[..<$0]) } ?? "."
      let name = slash.map { String(trimmed[trimmed.index(after: $0)...]) } ?? trimmed
      if let path = canonical(parent) { return path == "/" ? "/\(name)" : "\(path)/\(name)" }
    }
    throw missing(directory, errno)
  }

  private static func canonical(_ path: String) -> String? {
    guard let resolved = realpath(path, nil) else { return nil }
    defer { free(resolved) }
    return String(cString: resolved)
  }

  /// Whether the FUSE mount at `path` has lost its daemon. Uses statfs, which the kernel does not cache: a
  /// dead mount still answers from its caches.
  private static func isDead(_ path: String) -> Bool {
    var space = statvfs()
    return statvfs(path, &space) != 0 && meansDead(errno)
  }

  private static func meansDead(_ code: Int32) -> Bool { code == ENOTCONN || code == ECONNABORTED }

  private static func requireDirectory(_ path: String) throws(MountError) {
    var status = stat()
    guard stat(path, &status) == 0 else { throw missing(path, errno) }
    guard status.st_mode & S_IFMT == S_IFDIR else {
      throw MountError("\(path) is not a directory", remedy: "name a directory to mount at")
    }
  }

  private static func missing(_ path: String, _ code: Int32) -> MountError {
    switch code {
    case ENOENT:
      MountError("the mount point \(path) does not exist", remedy: "make it with: mkdir -p \(path)")
    case ENOTDIR: MountError("\(path) is not a directory", remedy: "name a directory to mount at")
    default: MountError("the mount point \(path) cannot be used: \(String(cString: strerror(code)))")
    }
  }
}
