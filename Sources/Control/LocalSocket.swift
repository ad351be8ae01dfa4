import CMachine
import Glibc
import PCI

/// The system's side of a local stream socket.
enum LocalSocket {
  /// Makes a socket.
  static func make(blocking: Bool) -> Int32 {
    let flags = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
    return socket(AF_UNIX, blocking ? flags : flags | Int32(SOCK_NONBLOCK.rawValue), 0)
  }

  /// Lets the next call on a socket that blocks wait no longer than until a deadline.
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

/// A descriptor along with bytes (unix(7), SCM_RIGHTS): a control message of a header of 16 bytes (length with header,
/// level, type) and the descriptor, padded to 8 bytes.
extension LocalSocket {
  private static let headerSize = 16
  private static let controlSize = headerSize + 8
  private static let rights: Int32 = 1

  /// Sends bytes, and `passed` with the first of them.
  static func send(_ bytes: ArraySlice<UInt8>, passing passed: Int32, to descriptor: Int32) -> Int {
    let length = headerSize + MemoryLayout<Int32>.size
    return bytes.withUnsafeBytes { bytes in
      withMessage(UnsafeMutableRawBufferPointer(mutating: bytes)) { message, control in
        control.storeBytes(of: length, as: Int.self)
        control.storeBytes(of: SOL_SOCKET, toByteOffset: 8, as: Int32.self)
        control.storeBytes(of: rights, toByteOffset: 12, as: Int32.self)
        control.storeBytes(of: passed, toByteOffset: headerSize, as: Int32.self)
        return sendmsg(descriptor, &message, noSignal)
      }
    }
  }

  /// Reads bytes, and a descriptor if one comes with them; of several the first, and the others are closed.
  static func receive(
    into bytes: UnsafeMutableRawBufferPointer, from descriptor: Int32
  ) -> (count: Int, passed: Int32?) {
    var passed: Int32?
    let count = withMessage(bytes) { message, control in
      let count = recvmsg(descriptor, &message, Int32(MSG_CMSG_CLOEXEC))
      guard count >= 0, message.msg_controllen >= headerSize,
        control.load(fromByteOffset: 8, as: Int32.self) == SOL_SOCKET,
        control.load(fromByteOffset: 12, as: Int32.self) == rights
      else { return count }
      let length = min(control.load(as: Int.self), message.msg_controllen, controlSize)
      for offset in stride(from: headerSize, to: length - 3, by: 4) {
        let received = control.load(fromByteOffset: offset, as: Int32.self)
        if passed == nil { passed = received } else { close(received) }
      }
      return count
    }
    return (count, passed)
  }

  private static func withMessage(
    _ bytes: UnsafeMutableRawBufferPointer,
    _ body: (inout msghdr, UnsafeMutableRawBufferPointer) -> Int
  ) -> Int {
    var vector = iovec(iov_base: bytes.baseAddress, iov_len: bytes.count)
    return withUnsafeMutablePointer(to: &vector) { vector in
      withUnsafeTemporaryAllocation(byteCount: controlSize, alignment: 8) { control in
        control.initializeMemory(as: UInt8.self, repeating: 0)
        var message = msghdr()
        message.msg_iov = vector
        message.msg_iovlen = 1
        message.msg_control = control.baseAddress
        message.msg_controllen = control.count
        return body(&message, control)
      }
    }
  }
}
