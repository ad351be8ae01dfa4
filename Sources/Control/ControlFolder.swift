import Glibc

/// The folder that holds the control sockets of one user's daemons, each named after its process:
/// `4711.sock`.
public struct ControlFolder: Sendable, Equatable {
  /// Its path.
  public let path: String

  /// The end of a socket's name.
  private static let suffix = ".sock"

  /// A folder at the given path.
  public init(path: String) { self.path = path }

  /// The folder of the sockets of this user's daemons: `/run/varve` for root, and for others `varve` in their
  /// runtime directory, or a folder of their own in `/tmp` where they have none.
  public static var own: ControlFolder {
    let user = geteuid()
    guard user != 0 else { return ControlFolder(path: "/run/varve") }
    if let runtime = getenv("XDG_RUNTIME_DIR").map({ String(cString: $0) }), runtime.hasPrefix("/") {
      return ControlFolder(path: "\(runtime)/varve")
    }
    return ControlFolder(path: "/tmp/varve-\(user)")
  }

  /// The possible folders of a user's daemons. Only root contacts another user's daemons, and only about that
  /// user's mounts.
  static func all(of user: uid_t) -> [ControlFolder] {
    guard user != geteuid() else { return [own] }
    return ["/run/user/\(user)/varve", "/tmp/varve-\(user)"].map(ControlFolder.init)
  }

  /// Whether it is a folder owned by that user, and no link to one.
  func belongs(to user: uid_t) -> Bool {
    var status = stat()
    return lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR && status.st_uid == user
  }

  /// The socket of a process.
  public func socket(of process: Int32) -> String { "\(path)/\(process)\(Self.suffix)" }

  /// The processes that have a socket here, alive or not.
  public var processes: [Int32] {
    Self.names(in: path).compactMap { name in
      name.hasSuffix(Self.suffix) ? Int32(name.dropLast(Self.suffix.count)) : nil
    }.sorted()
  }

  /// Makes the folder, or checks that only this user can write to it: another user could replace a socket
  /// otherwise.
  /// - Throws: `ControlError` when it cannot be made or is another user's.
  func prepare() throws(ControlError) {
    if mkdir(path, 0o700) != 0, errno != EEXIST {
      throw ControlError("the folder \(path) cannot be made: \(String(cString: strerror(errno)))")
    }
    var status = stat()
    guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR, status.st_uid == geteuid() else {
      throw ControlError("\(path) is not a folder of this user's; remove it")
    }
    guard status.st_mode & 0o077 == 0 || chmod(path, 0o700) == 0 else {
      throw ControlError("\(path) is open to other users; remove it")
    }
  }

  private static func names(in path: String) -> [String] {
    guard let folder = opendir(path) else { return [] }
    defer { closedir(folder) }
    var names: [String] = []
    while let entry = readdir(folder) {
      names.append(
        withUnsafeBytes(of: entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) })
    }
    return names.filter { $0 != "." && $0 != ".." }.sorted()
  }
}
