import CMachine
import Glibc

/// What a daemon tells its helper: a kind, the number of the order, a further number, and a text.
struct HelperMessage: Equatable {
  enum Kind: UInt8 {
    /// A line for the system's log. The number is its priority (syslog(3)).
    case log = 1
    /// Unmount the filesystem that was mounted at the text's place. The number is 1 to take it out of the
    /// tree as it is.
    case unmount
    /// Make the mount at the text's place read-only.
    case becomeReadOnly
    /// Raise the kernel's read-ahead for the mount at the text's place to so many bytes.
    case raiseReadahead
    /// Start a process that has the kernel forget pages; its three descriptors come along.
    case forgetPages
  }

  var kind: Kind
  /// What the answer names; an order for the log has none.
  var token: UInt64 = 0
  var number: UInt64 = 0
  var text = ""

  /// The bytes before the text.
  static let headSize = 24
  /// The most bytes that any has: a path, or a line that is cut there, and `major:minor`.
  static let limit = 8192

  init(_ kind: Kind, token: UInt64 = 0, number: UInt64 = 0, text: String = "") {
    self.kind = kind
    self.token = token
    self.number = number
    self.text = text
  }

  /// About what is mounted at a point.
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

  /// The mount that it is about.
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
