import CMachine
import Glibc

/// A message as it came.
public struct Message: Sendable {
  public let header: MessageHeader
  public let payload: [UInt8]
  public let descriptors: PassedDescriptors
}

/// A UNIX stream socket as a stream of messages.
///
/// Sending and receiving may happen on two threads at once, each on one at a time. Neither blocks but where it says so.
public final class MessageSocket {
  /// The descriptor, to wait on.
  public let descriptor: Int32
  /// The largest message that is accepted, in bytes.
  public var sizeLimit: UInt32
  /// The most descriptors of a message that are accepted.
  public let descriptorLimit: Int

  /// How long the peer may take nothing before it counts as dead, in milliseconds.
  private static let patience: Int32 = 10_000

  private let received = UnsafeMutableRawBufferPointer.allocate(
    byteCount: ControlData.capacity, alignment: 8)
  private let sent = UnsafeMutableRawBufferPointer.allocate(byteCount: ControlData.capacity, alignment: 8)
  /// The message that is coming in.
  private var bytes = [UInt8](repeating: 0, count: MessageHeader.size)
  private var filled = 0
  private var header: MessageHeader?
  private var passed = PassedDescriptors()

  /// Takes a connected socket over.
  public init(
    owning descriptor: Int32, sizeLimit: UInt32 = (1 << 20) + 4096,
    descriptorLimit: Int = 253
  ) {
    self.descriptor = descriptor
    self.sizeLimit = sizeLimit
    self.descriptorLimit = descriptorLimit
    cm_set_nonblocking(descriptor)
  }

  deinit {
    received.deallocate()
    sent.deallocate()
    close(descriptor)
  }

  /// Ends the connection for both sides; the descriptor stays until the value goes.
  public func shutDown() { shutdown(descriptor, Int32(SHUT_RDWR)) }

  /// Waits until something has come in.
  /// - Parameter timeout: in milliseconds; negative for ever.
  /// - Returns: false when nothing has.
  public func wait(timeout: Int32) -> Bool { wait(for: POLLIN, timeout) }

  private func wait(for event: Int32, _ timeout: Int32) -> Bool {
    while true {
      var entry = pollfd(fd: descriptor, events: Int16(event), revents: 0)
      let count = poll(&entry, 1, timeout)
      if count < 0 && errno == EINTR { continue }
      return count > 0
    }
  }
}

// Sending.
extension MessageSocket {
  /// Sends a message with descriptors. Blocks while the peer takes nothing, for a limited time.
  public func send(
    identifier: UInt16, command: UInt16, flags: MessageHeader.Flags = [], errno code: UInt32 = 0,
    payload: [UInt8] = [], descriptors: [Int32] = []
  ) throws(SocketError) {
    var writer = WireWriter()
    let size = UInt32(truncatingIfNeeded: MessageHeader.size + payload.count)
    MessageHeader(identifier: identifier, command: command, messageSize: size, flags: flags, errno: code)
      .encode(to: &writer)
    writer.append(contentsOf: payload)
    try send(writer.bytes, descriptors)
  }

  /// Sends bytes as they are, whatever the peer makes of them.
  public func send(_ bytes: [UInt8], _ descriptors: [Int32] = []) throws(SocketError) {
    guard descriptors.count <= ControlData.limit else { throw .tooManyDescriptors }
    var offset = 0
    while offset < bytes.count {
      let count = bytes.withUnsafeBytes { part($0, from: offset, offset == 0 ? descriptors : []) }
      if count >= 0 {
        offset += count
      } else if errno == EAGAIN {
        guard wait(for: POLLOUT, Self.patience) else { throw .notTaken }
      } else if errno != EINTR {
        throw errno == EPIPE || errno == ECONNRESET ? .closed : .system(errno)
      }
    }
  }

  private func part(_ bytes: UnsafeRawBufferPointer, from offset: Int, _ descriptors: [Int32]) -> Int {
    let rest = UnsafeMutableRawPointer(mutating: bytes.baseAddress.map { $0 + offset })
    var vector = iovec(iov_base: rest, iov_len: bytes.count - offset)
    return withUnsafeMutablePointer(to: &vector) { vector in
      var message = msghdr()
      message.msg_iov = vector
      message.msg_iovlen = 1
      let control = ControlData.encode(descriptors, into: sent)
      if control > 0 {
        message.msg_control = sent.baseAddress
        message.msg_controllen = control
      }
      return sendmsg(descriptor, &message, Int32(MSG_NOSIGNAL))
    }
  }
}

// Receiving.
extension MessageSocket {
  /// Takes a message, if one has come in whole.
  /// - Returns: nil when not all of it is there.
  /// - Throws: what ends the conversation.
  public func receive() throws(SocketError) -> Message? {
    if header == nil {
      guard try fill() else { return nil }
      let found = bytes.withUnsafeBytes { MessageHeader(decoding: $0) }
      guard let found, found.messageSize >= MessageHeader.size, found.messageSize <= sizeLimit else {
        throw .badSize(found?.messageSize ?? 0)
      }
      header = found
      bytes = [UInt8](repeating: 0, count: Int(found.messageSize) - MessageHeader.size)
      filled = 0
    }
    guard let header, try fill() else { return nil }
    defer {
      self.header = nil
      bytes = [UInt8](repeating: 0, count: MessageHeader.size)
      filled = 0
      passed = PassedDescriptors()
    }
    guard passed.count <= descriptorLimit else { throw .tooManyDescriptors }
    return Message(header: header, payload: bytes, descriptors: passed)
  }

  /// Reads until `bytes` is full.
  /// - Returns: false when the rest has not come yet.
  private func fill() throws(SocketError) -> Bool {
    while filled < bytes.count {
      let count = readPart()
      if count > 0 {
        filled += count
      } else if count == 0 {
        throw filled == 0 && header == nil ? .closed : .truncated
      } else if errno == EAGAIN {
        return false
      } else if errno == ENOBUFS {
        throw .tooManyDescriptors
      } else if errno != EINTR {
        throw errno == ECONNRESET ? .closed : .system(errno)
      }
    }
    return true
  }

  /// Reads what there is, with its descriptors; ENOBUFS when some of those were lost.
  private func readPart() -> Int {
    let start = filled
    return bytes.withUnsafeMutableBytes { bytes in
      var vector = iovec(iov_base: bytes.baseAddress.map { $0 + start }, iov_len: bytes.count - start)
      return withUnsafeMutablePointer(to: &vector) { vector in
        var message = msghdr()
        message.msg_iov = vector
        message.msg_iovlen = 1
        message.msg_control = received.baseAddress
        message.msg_controllen = received.count
        let count = recvmsg(descriptor, &message, Int32(MSG_CMSG_CLOEXEC) | Int32(MSG_DONTWAIT))
        guard count >= 0 else { return count }
        ControlData.forEach(in: UnsafeRawBufferPointer(rebasing: received[..<message.msg_controllen])) {
          passed.append($0)
        }
        guard message.msg_flags & Int32(MSG_CTRUNC) == 0 else {
          errno = ENOBUFS
          return -1
        }
        return count
      }
    }
  }
}
