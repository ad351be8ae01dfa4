import CMachine
import Glibc

/// The system's side of a local stream socket.
enum LocalSocket {
  /// Makes a socket that does not block, or one that does but not for ever.
  static func make(blocking: Bool) -> Int32 {
    let flags = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
    let descriptor = socket(AF_UNIX, blocking ? flags : flags | Int32(SOCK_NONBLOCK.rawValue), 0)
    guard blocking, descriptor >= 0 else { return descriptor }
    var limit = timeval(tv_sec: 10, tv_usec: 0)
    for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
      setsockopt(descriptor, SOL_SOCKET, option, &limit, socklen_t(MemoryLayout<timeval>.size))
    }
    return descriptor
  }

  /// Calls `body` with the address of a path.
  /// - Returns: -1, with ENAMETOOLONG, for a path that no address can hold; otherwise what `body` returns.
  static func withAddress(
    of path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
  ) -> Int32 {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8)
    guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
      errno = ENAMETOOLONG
      return -1
    }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    return withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
  }

  private static let noSignal = Int32(MSG_NOSIGNAL)

  /// Has the system hold as much of an answer as it allows until the other end reads it.
  static func widen(_ descriptor: Int32) {
    var size = 1 << 20 as Int32
    setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &size, socklen_t(MemoryLayout<Int32>.size))
  }

  /// Sends bytes as far as the socket takes them, without the signal for a closed one.
  static func send(_ bytes: ArraySlice<UInt8>, to descriptor: Int32) -> Int {
    bytes.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, noSignal) }
  }
}
