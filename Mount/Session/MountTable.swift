import Glibc
import Synchronization

/// One line of /proc/self/mountinfo (proc(5)).
struct MountEntry: Equatable {
  /// `major:minor` of the mounted filesystem.
  var device: String
  /// The mount point.
  var path: String
  /// Its type, with the subtype: `fuse.varve`.
  var type: String
  var source: String
  /// The owner (user_id) of a FUSE mount.
  var owner: uid_t?

  /// Whether it is a Varve filesystem, of either type.
  var isVarve: Bool { type == "fuse.varve" || type == "fuseblk.varve" }

  /// Parses a line; nil when it is malformed.
  init?(line: Substring) {
    let words = line.split(separator: " ", omittingEmptySubsequences: true)
    guard let dash = words.firstIndex(of: "-"), dash >= 6, words.count > dash + 2 else { return nil }
    device = String(words[2])
    path = Self.unescaped(words[4])
    type = String(words[dash + 1])
    source = Self.unescaped(words[dash + 2])
    let options = words.dropFirst(dash + 3).first?.split(separator: ",") ?? []
    owner = options.first { $0.hasPrefix("user_id=") }.flatMap { uid_t($0.dropFirst(8)) }
  }

  /// Decodes `\040` for a blank, and the like.
  static func unescaped(_ text: Substring) -> String {
    var bytes: [UInt8] = []
    var rest = text.utf8[...]
    while let byte = rest.first {
      let digits = rest.dropFirst().prefix(3)
      if byte == UInt8(ascii: "\\"), digits.count == 3, let code = UInt8(Substring(digits), radix: 8) {
        bytes.append(code)
        rest = rest.dropFirst(4)
      } else {
        bytes.append(byte)
        rest = rest.dropFirst()
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}

/// The mounts in this process's mount namespace.
enum MountTable {
  /// The descriptor of this process's table, once it is open; -1 before.
  private static let own = Atomic<Int32>(-1)

  /// Opens this process's table and keeps it open, because a confined daemon cannot open files.
  static func keepOpen() {
    guard own.load(ordering: .relaxed) < 0 else { return }
    own.store(open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC), ordering: .relaxed)
  }

  /// All mounts in this process's mount namespace; later ones are on top.
  static func entries() -> [MountEntry] {
    let own = own.load(ordering: .relaxed)
    guard own >= 0 else { return entries(of: "self") }
    // Reading from the start makes the kernel generate the table again.
    lseek(own, 0, SEEK_SET)
    return entries(in: contents(of: own))
  }

  /// - Parameter process: a process of the mount namespace.
  static func entries(of process: String) -> [MountEntry] {
    entries(in: contents(of: "/proc/\(process)/mountinfo"))
  }

  private static func entries(in text: String) -> [MountEntry] {
    text.split(separator: "\n").compactMap(MountEntry.init(line:))
  }

  /// The topmost mount at exactly `path`.
  static func top(at path: String) -> MountEntry? { entries().last { $0.path == path } }

  static func contents(of path: String) -> String {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return "" }
    defer { Glibc.close(descriptor) }
    return contents(of: descriptor)
  }

  private static func contents(of descriptor: Int32) -> String {
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65536)
    while case let count = read(descriptor, &chunk, chunk.count), count > 0 { bytes += chunk[..<count] }
    return String(decoding: bytes, as: UTF8.self)
  }
}
