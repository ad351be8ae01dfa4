import CMachine
import Glibc
import PCI

/// The system calls of a local stream socket.
enum LocalSocket {
  /// Makes a socket.
  static func make(blocking: Bool) -> Int32 {
    let flags = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
    return socket(AF_UNIX, blocking ? flags : flags | Int32(SOCK_NONBLOCK.rawValue), 0)
  }

  /// Limits the next call on a blocking socket to a deadline.
  static func limit(_ descriptor: Int32, _ deadline: Deadline) {
    // 0 would be for ever.
    let left = max(Int(deadline.milliseconds), 1)
    var limit = timeval(tv_sec: left / 1000, tv_usec: left % 1000 * 1000)
    for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
      setsockopt(descriptor, SOL_SOCKET, option, &limit, socklen_t(MemoryLayout<timeval>.size))
    }
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

  /// Raises the send buffer to the kernel's limit, so that it holds an answer until the peer reads it.
  static func widen(_ descriptor: Int32) {
    var size = 1 << 20 as Int32
    setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &size, socklen_t(MemoryLayout<Int32>.size))
  }

  /// Sends as many bytes as the socket accepts, without SIGPIPE for a closed one.
  static func send(_ bytes: ArraySlice<UInt8>, to descriptor: Int32) -> Int {
    bytes.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, noSignal) }
  }
}

extension LocalSocket {
  /// Sends bytes, and `passed` with the first of them.
  static func send(_ bytes: ArraySlice<UInt8>, passing passed: Int32, to descriptor: Int32) -> Int {
    var passed = passed
    return bytes.withUnsafeBytes { cm_send(descriptor, $0.baseAddress, $0.count, &passed, 1, 0) }
  }

  /// Reads bytes, and a descriptor if one comes with them; of several the first, and the others are closed.
  static func receive(
    into bytes: UnsafeMutableRawBufferPointer, from descriptor: Int32
  ) -> (count: Int, passed: Int32?) {
    var descriptors: InlineArray<4, Int32> = .init(repeating: -1)
    var number: Int32 = 0
    let count = withUnsafeMutablePointer(to: &descriptors) { place in
      place.withMemoryRebound(to: Int32.self, capacity: Int(CM_DESCRIPTORS)) {
        cm_receive(descriptor, bytes.baseAddress, bytes.count, $0, &number)
      }
    }
    for index in 0..<Int(number) where index > 0 { close(descriptors[index]) }
    return (count, number > 0 ? descriptors[0] : nil)
  }
}
