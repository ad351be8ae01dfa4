import Glibc

/// Changes of an existing mount: read-only or read-write, and the kernel's other flags.
extension MountPoint {
  /// The Varve filesystem that is mounted at a directory.
  /// - Throws: `MountError` where there is none.
  public static func existing(_ directory: String) throws(MountError) -> MountPoint {
    let path = try resolve(directory)
    guard let mounted = MountTable.top(at: path), mounted.isVarve else {
      throw MountError("no Varve filesystem is mounted at \(path)", remedy: "see: findmnt")
    }
    return MountPoint(path: path, device: mounted.device)
  }

  /// Remounts with the kernel's flags among the options; `nodev` and `nosuid` stay set unless `dev` or `suid`
  /// is given. The kernel writes its dirty data before it refuses further writes.
  /// - Throws: `MountError` when it refuses, as while files are open for writing.
  public func remount(_ options: MountOptions) throws(MountError) {
    var options = options
    var status = statvfs()
    if statvfs(path, &status) == 0 { options.keep(flags: status.f_flag) }
    guard mount(nil, path, nil, options.kernelFlags | UInt(MS_REMOUNT), nil) != 0 else { return }
    let code = errno
    throw MountError(
      "\(path) cannot be remounted: \(code == EBUSY ? "files are open for writing" : String(cString: strerror(code)))",
      remedy: code == EPERM ? "become root" : "")
  }

  /// Whether the mount is read-only.
  public var isReadOnly: Bool {
    var status = statvfs()
    return statvfs(path, &status) == 0 && status.f_flag & MountOptions.readOnly != 0
  }

  /// Makes the mount read-only; its other flags are unchanged.
  /// - Throws: `MountError` when it refuses, as while files are open for writing.
  public func becomeReadOnly() throws(MountError) {
    var options = MountOptions()
    options.readOnly = true
    options.mountFlags = ["ro"]
    var status = statvfs()
    if statvfs(path, &status) == 0 { options.take(flags: status.f_flag) }
    try remount(options)
  }

  /// Bind-mounts the filesystem at another directory too.
  public func bind(to other: MountPoint, _ options: MountOptions) throws(MountError) {
    guard mount(path, other.path, nil, UInt(MS_BIND), nil) == 0 else {
      let code = errno
      throw MountError(
        "\(path) cannot be shown at \(other.path): \(String(cString: strerror(code)))",
        remedy: code == EPERM ? "become root" : "")
    }
    // A bind mount has its own flags, set by a remount.
    _ = mount(nil, other.path, nil, options.kernelFlags | UInt(MS_BIND) | UInt(MS_REMOUNT), nil)
  }
}

extension MountOptions {
  /// Keeps `nosuid` and `nodev` from the statvfs(3) flags of the present mount, unless `suid` or `dev` was
  /// given.
  fileprivate mutating func keep(flags: UInt) {
    for (flag, name) in [(Self.noSetuid, "suid"), (Self.noDevices, "dev")] where flags & flag != 0 {
      leaveOut(name)
    }
  }

  /// Takes over the statvfs(3) flags of the present mount.
  fileprivate mutating func take(flags: UInt) {
    let known = [(Self.noPrograms, "noexec"), (Self.synchronous, "sync")]
    mountFlags += known.filter { flags & $0.0 != 0 }.map(\.1)
    accessTimes = flags & Self.noAccessTimes != 0 ? .never : .relative
    if accessTimes == .never { mountFlags.append("noatime") }
  }

  // Flags of statvfs(3), most of which the C library's header has only with _GNU_SOURCE.
  fileprivate static let readOnly: UInt = 1
  private static let noSetuid: UInt = 2
  private static let noDevices: UInt = 4
  private static let noPrograms: UInt = 8
  private static let synchronous: UInt = 16
  private static let noAccessTimes: UInt = 1024

  /// The options' flags for mount(2).
  var kernelFlags: UInt {
    let known: [String: Int] = [
      "ro": MS_RDONLY, "nosuid": MS_NOSUID, "nodev": MS_NODEV, "noexec": MS_NOEXEC, "sync": MS_SYNCHRONOUS,
      "dirsync": Self.directorySync, "noatime": MS_NOATIME,
    ]
    let times = accessTimes == .always ? MS_STRICTATIME : accessTimes == .relative ? MS_RELATIME : 0
    return mountFlags.reduce(UInt(times)) { $0 | UInt(known[$1] ?? 0) }
  }

  // MS_DIRSYNC, which the C library's header has only with _GNU_SOURCE.
  private static let directorySync = 128
}
