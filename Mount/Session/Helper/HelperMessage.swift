import CMachine
import Glibc

/// A daemon's message to its helper: a kind, a token, a number, and a text.
struct HelperMessage: Equatable {
  enum Kind: UInt8 {
    /// A line for the system's log. The number is its priority (syslog(3)).
    case log = 1
    /// Unmount the filesystem at the mount point in the text. The number is 1 to detach it at once.
    case unmount
    /// Make the mount in the text read-only.
    case becomeReadOnly
    /// Raise the kernel's read-ahead for the mount in the text to `number` bytes.
    case raiseReadahead
    /// Start a process that invalidates cached pages; its three descriptors are passed along.
    case forgetPages
    /// Start a process that has the kernel write back the mount in the text; its two descriptors are passed
    /// along.
    case writeBack
    /// Open the status (/proc/PID/stat) of the process `number`; its descriptor comes with the answer.
    case openStatus
  }

  var kind: Kind
  /// Identifies the order in its answer; a log line has none.
  var token: UInt64 = 0
  var number: UInt64 = 0
  var text = ""

  /// The bytes before the text.
  static let headSize = 24
  /// The largest message: a path and `major:minor`, or a log line, which is cut there.
  static let limit = 8192

  init(_ kind: Kind, token: UInt64 = 0, number: UInt64 = 0, text: String = "") {
    self.kind = kind
    self.token = token
    self.number = number
    self.text = text
  }

  /// A message about a mount.
  init(_ kind: Kind, _ point: MountPoint, token: UInt64, number: UInt64 = 0) {
    self.init(kind, token: token, number: number, text: "\(point.device ?? "") \(point.path)")
  }

  var encoded: [UInt8] {
    var bytes = [UInt8](repeating: 0, count: Self.headSize)
    bytes[0] = kind.rawValue
    for index in 0..<8 {
      bytes[8 + index] = UInt8(truncatingIfNeeded: token >> (8 * index))
      bytes[16 + index] = UInt8(truncatingIfNeeded: number >> (8 * index))
    }
    return bytes + text.utf8.prefix(Self.limit - Self.headSize)
  }

  init?(decoding bytes: ArraySlice<UInt8>) {
    guard bytes.count >= Self.headSize, let kind = Kind(rawValue: bytes[bytes.startIndex]) else { return nil }
    self.kind = kind
    for index in (0..<8).reversed() {
      token = token << 8 | UInt64(bytes[bytes.startIndex + 8 + index])
      number = number << 8 | UInt64(bytes[bytes.startIndex + 16 + index])
    }
    text = String(decoding: bytes.dropFirst(Self.headSize), as: UTF8.self)
  }

  /// The mount in the text.
  var point: MountPoint? {
    guard let blank = text.firstIndex(of: " ") else { return nil }
    return MountPoint(path: String(text[text.index(after: blank)...]), device: String(text[..<blank]))
  }

  /// How an order ended.
  struct Answer: BitwiseCopyable {
    var token: UInt64
    /// 0 when it was carried out.
    var status: UInt64
  }
}
