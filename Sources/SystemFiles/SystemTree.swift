import Glibc

/// The kernel's pseudo file systems and device nodes, as folders that may be elsewhere in a test.
public struct SystemTree: Sendable {
  /// Where sysfs is mounted.
  public let sys: String
  /// Where procfs is mounted.
  public let proc: String
  /// Where device nodes are.
  public let dev: String

  /// The tree below `root`, the machine's own when that is empty.
  public init(root: String = "") {
    sys = root + "/sys"
    proc = root + "/proc"
    dev = root + "/dev"
  }

  /// Whether the path exists, even as a dangling link.
  package func exists(_ path: String) -> Bool {
    var status = stat()
    return lstat(path, &status) == 0
  }

  /// The file's text without the line's end; nil when it cannot be read.
  package func text(of path: String) -> String? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { Glibc.close(descriptor) }
    var bytes: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 4096)
    while true {
      let count = read(descriptor, &piece, piece.count)
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { break }
      bytes += piece[..<count]
    }
    while bytes.last == UInt8(ascii: "\n") { bytes.removeLast() }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// Writes `text` to an attribute file.
  /// - Returns: 0, or the system's error number.
  package func write(_ text: String, to path: String) -> Int32 {
    let descriptor = open(path, O_WRONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return errno }
    defer { Glibc.close(descriptor) }
    let bytes = Array(text.utf8)
    return Glibc.write(descriptor, bytes, bytes.count) == bytes.count ? 0 : errno
  }

  /// The names in a folder, sorted; none when it cannot be read.
  package func names(in path: String) -> [String] {
    guard let folder = opendir(path) else { return [] }
    defer { closedir(folder) }
    var names: [String] = []
    while let entry = readdir(folder) {
      let name = withUnsafeBytes(of: entry.pointee.d_name) {
        String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  /// The target of a symbolic link.
  package func target(of link: String) -> String? {
    var buffer = [UInt8](repeating: 0, count: Int(PATH_MAX))
    let count = readlink(link, &buffer, buffer.count)
    guard count > 0 else { return nil }
    return String(decoding: buffer[..<count], as: UTF8.self)
  }

  /// The path of a device node with all symbolic links resolved; the path itself where it does not exist.
  package func canonical(_ path: String) -> String {
    let root = String(dev.dropLast("/dev".count))
    return resolved(root + path).map { String($0.dropFirst(root.count)) } ?? path
  }

  /// The path with all symbolic links resolved; nil when it does not exist.
  package func resolved(_ path: String) -> String? {
    guard let resolved = realpath(path, nil) else { return nil }
    defer { free(resolved) }
    return String(cString: resolved)
  }
}
