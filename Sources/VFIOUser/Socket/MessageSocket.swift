import CMachine
import Glibc
import PCI

/// A received message.
public struct Message: Sendable {
  public let header: MessageHeader
  public let payload: [UInt8]
  public let descriptors: PassedDescriptors
}

/// A UNIX stream socket as a stream of messages.
///
/// One thread may send while another receives. Only methods that say so block. Time limits are for a message
/// as a whole, however few bytes the peer sends or receives at once.
public final class MessageSocket {
  /// The descriptor, to wait on.
  public let descriptor: Int32
  /// The largest message that is accepted, in bytes.
  public var sizeLimit: UInt32
  /// The most descriptors of a message that are accepted.
  public let descriptorLimit: Int

  /// The deadline of the message being received; nil between messages.
  public private(set) var due: Deadline?

  /// How long the peer may take to send or to receive a message, from its first byte to its last (ns).
  private let patience: UInt64
  /// A descriptor that ends every wait once it is readable; -1 for none.
  private let interruption: Int32

  private let received: UnsafeMutableRawBufferPointer
  private let sent = UnsafeMutableRawBufferPointer.allocate(
    byteCount: ControlData.room(for: ControlData.limit), alignment: 8)
  /// The message being received.
  private var bytes = [UInt8](repeating: 0, count: MessageHeader.size)
  private var filled = 0
  private var header: MessageHeader?
  private var passed = PassedDescriptors()

  /// Takes ownership of a connected socket.
  /// - Parameters:
  ///   - patience: how long the peer may take to send or to receive a message (ns).
  ///   - interruption: a descriptor, owned by the caller, that ends every wait once it is readable; -1 for
  ///     none.
  public init(
    owning descriptor: Int32, sizeLimit: UInt32 = (1 << 20) + 4096, descriptorLimit: Int = 253,
    patience: UInt64 = 30_000_000_000, interruption: Int32 = -1
  ) {
    self.descriptor = descriptor
    self.sizeLimit = sizeLimit
    self.descriptorLimit = descriptorLimit
    self.patience = patience
    self.interruption = interruption
    received = .allocate(byteCount: ControlData.room(for: descriptorLimit), alignment: 8)
    cm_set_nonblocking(descriptor)
  }

  deinit {
    received.deallocate()
    sent.deallocate()
    close(descriptor)
  }

  /// Shuts the connection down in both directions; the descriptor stays open until deinit.
  public func shutDown() { shutdown(descriptor, Int32(SHUT_RDWR)) }

  /// Waits until the socket is readable.
  /// - Parameter deadline: nil for ever.
  /// - Returns: false when the deadline has passed.
  /// - Throws: `interrupted`.
  public func wait(until deadline: Deadline?) throws(SocketError) -> Bool {
    try wait(for: POLLIN, until: deadline)
  }

  private func wait(for event: Int32, until deadline: Deadline?) throws(SocketError) -> Bool {
    var watched = (
      pollfd(fd: descriptor, events: Int16(event), revents: 0),
      pollfd(fd: interruption, events: Int16(POLLIN), revents: 0)
    )
    while true {
      let rest = deadline?.milliseconds ?? -1
      // Checked before the socket, so that a peer that keeps sending single bytes gets no more time.
      guard rest != 0 else { return false }
      let count = withUnsafeMutableBytes(of: &watched) {
        poll($0.assumingMemoryBound(to: pollfd.self).baseAddress, 2, rest)
      }
      if count < 0 && errno == EINTR { continue }
      guard watched.1.revents == 0 else { throw .interrupted }
      return count > 0
    }
  }
}

// Sending.
extension MessageSocket {
  /// Sends a message with descriptors. Blocks until the peer has received it or the deadline has passed.
  /// - Parameter deadline: by when the peer has to receive it; nil for the limit of any message.
  public func send(
    identifier: UInt16, command: UInt16, flags: MessageHeader.Flags = [], errno code: UInt32 = 0,
    payload: [UInt8] = [], descriptors: [Int32] = [], by deadline: Deadline? = nil
  ) throws(SocketError) {
    var writer = WireWriter()
    let size = UInt32(truncatingIfNeeded: MessageHeader.size + payload.count)
    MessageHeader(identifier: identifier, command: command, messageSize: size, flags: flags, errno: code)
      .encode(to: &writer)
    writer.append(contentsOf: payload)
    try send(writer.bytes, descriptors, by: deadline)
  }

  /// Sends bytes unchanged, valid message or not.
  public func send(
    _ bytes: [UInt8], _ descriptors: [Int32] = [], by deadline: Deadline? = nil
  ) throws(SocketError) {
    guard descriptors.count <= ControlData.limit else { throw .tooManyDescriptors }
    let deadline = deadline ?? Deadline(in: patience)
    var offset = 0
    while offset < bytes.count {
      let count = bytes.withUnsafeBytes { part($0, from: offset, offset == 0 ? descriptors : []) }
      if count >= 0 {
        offset += count
      } else if errno == EAGAIN {
        guard try wait(for: POLLOUT, until: deadline) else { throw .notTaken }
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
  /// Starts the deadline of the next message now, not with its first byte.
  public func expect() { due = Deadline(in: patience) }

  /// Whether the deadline of the message being received has passed.
  public var isLate: Bool { due?.nanoseconds == 0 }

  /// Returns the next message, if all of it has been received.
  /// - Returns: nil when it is incomplete.
  /// - Throws: the error that ends the connection.
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
      due = nil
    }
    return Message(header: header, payload: bytes, descriptors: passed)
  }

  /// Reads until `bytes` is full.
  /// - Returns: false when more bytes are needed.
  private func fill() throws(SocketError) -> Bool {
    while filled < bytes.count {
      let count = readPart()
      if count > 0 {
        filled += count
        if due == nil { expect() }
        guard passed.count <= descriptorLimit else { throw .tooManyDescriptors }
      } else if count == 0 {
        throw filled == 0 && header == nil ? .closed : .truncated
      } else if errno == EAGAIN {
        guard !isLate else { throw .notSent }
        return false
      } else if errno == ENOBUFS {
        throw .tooManyDescriptors
      } else if errno != EINTR {
        throw errno == ECONNRESET ? .closed : .system(errno)
      }
    }
    return true
  }

  /// Reads the available bytes, with their descriptors; ENOBUFS when descriptors were lost, or when no more
  /// can be accepted because too many could not be closed.
  private func readPart() -> Int {
    let start = filled
    return bytes.withUnsafeMutableBytes { bytes in
      var vector = iovec(iov_base: bytes.baseAddress.map { $0 + start }, iov_len: bytes.count - start)
      return withUnsafeMutablePointer(to: &vector) { vector in
        var message = msghdr()
        message.msg_iov = vector
        message.msg_iovlen = 1
        message.msg_control = received.baseAddress
        message.msg_controllen = PassedFile.isFull ? 0 : received.count
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
