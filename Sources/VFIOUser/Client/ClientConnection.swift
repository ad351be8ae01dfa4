import CMachine
import Glibc
import PCI
import Synchronization

/// The client's end of a connection: requests are sent and wait for their replies, and a listening thread
/// answers the server's requests at any time.
///
/// Once the server is gone, or has sent an invalid message, every request fails at once with ENODEV, and
/// `removalDescriptor` is readable.
final class ClientConnection: @unchecked Sendable {
  /// A successful reply.
  struct Reply {
    let payload: [UInt8]
    let descriptors: PassedDescriptors
  }

  let path: String
  /// How long a server may take for an exchange, request and reply (ns).
  let patience: UInt64
  /// An eventfd that fires when the server is gone.
  let removalDescriptor: Int32
  /// The memory that the server may access.
  let memory: ClientMemory

  private let socket: MessageSocket
  private let sending = Mutex(UInt16(0))
  private let state = Mutex(State())
  /// An eventfd that fires when a reply has come.
  private let replied: Int32
  private var thread = pthread_t()

  private struct State {
    /// The request that waits for its reply: one at a time, as the function belongs to one thread.
    var awaited: (identifier: UInt16, command: UInt16)?
    var reply: Message?
    /// The deadline of the current exchange.
    var due: Deadline?
    /// Why the connection has failed.
    var failure: String?
  }

  /// Takes ownership of a connected socket and starts the listening thread.
  init(
    _ socket: MessageSocket, path: String, memory: ClientMemory = ClientMemory(), patience: UInt64
  ) throws(FunctionError) {
    self.path = path
    self.patience = patience
    self.memory = memory
    self.socket = socket
    removalDescriptor = cm_eventfd()
    replied = cm_eventfd()
    guard removalDescriptor >= 0, replied >= 0 else {
      throw FunctionError("no more files can be opened", remedy: "raise the limit: ulimit -n", errno: EMFILE)
    }
    let listener = Unmanaged.passRetained(Listener(socket, self))
    let code = pthread_create(&thread, nil, listen, listener.toOpaque())
    guard code == 0 else {
      listener.release()
      throw FunctionError("no thread can be started", errno: code)
    }
  }

  deinit {
    for descriptor in [removalDescriptor, replied] where descriptor >= 0 { Glibc.close(descriptor) }
  }

  /// Ends the connection and the thread.
  func close() {
    fail("it is closed", tells: false)
    socket.shutDown()
    pthread_join(thread, nil)
  }

  /// Whether the server is gone.
  var isLost: Bool { state.withLock { $0.failure != nil } }

  /// Sends a request and waits for its reply.
  /// - Throws: `FunctionError` with the server's error number, or ENODEV when the server is gone.
  func request(
    _ command: MessageCommand, _ payload: [UInt8] = [], descriptors: [Int32] = []
  ) throws(FunctionError) -> Reply {
    let deadline = Deadline(in: patience)
    defer { state.withLock { $0.due = nil } }
    try send(command, payload, descriptors, awaits: true, by: deadline)
    let message = try awaitReply(command, by: deadline)
    if message.header.flags.contains(.error) {
      let code = Int32(truncatingIfNeeded: message.header.errno)
      throw FunctionError(
        "\(path): the server refused \(command): \(String(cString: strerror(code == 0 ? EIO : code)))",
        remedy: "see what the server says", errno: code == 0 ? EIO : code)
    }
    return Reply(payload: message.payload, descriptors: message.descriptors)
  }

  /// Sends a request without a reply.
  func post(_ command: MessageCommand, _ payload: [UInt8]) {
    defer { state.withLock { $0.due = nil } }
    try? send(command, payload, [], awaits: false, by: Deadline(in: patience))
  }

  private func send(
    _ command: MessageCommand, _ payload: [UInt8], _ descriptors: [Int32], awaits: Bool,
    by deadline: Deadline
  ) throws(FunctionError) {
    let earlier = state.withLock { state in
      state.due = deadline
      return state.failure
    }
    if let earlier { throw lost(earlier) }
    let failure: SocketError? = sending.withLock { next in
      next &+= 1
      let identifier = next
      if awaits { state.withLock { $0.awaited = (identifier, command.rawValue) } }
      do throws(SocketError) {
        try socket.send(
          identifier: identifier, command: command.rawValue, flags: awaits ? [] : .noReply,
          payload: payload, descriptors: descriptors, by: deadline)
        return nil
      } catch { return error }
    }
    guard let failure else { return }
    fail("\(failure)")
    throw lost("\(failure)")
  }

  private func awaitReply(
    _ command: MessageCommand, by deadline: Deadline
  ) throws(FunctionError) -> Message {
    while true {
      var failure: String?
      let reply = state.withLock { state -> Message? in
        failure = state.failure
        defer { state.reply = nil }
        return state.reply
      }
      if let reply { return reply }
      if let failure { throw lost(failure) }
      let rest = deadline.milliseconds
      guard rest > 0 else {
        fail("no reply to \(command) within \(patience / 1_000_000_000) s")
        continue
      }
      var entry = pollfd(fd: replied, events: Int16(POLLIN), revents: 0)
      poll(&entry, 1, rest)
      cm_eventfd_clear(replied)
    }
  }

  private func lost(_ failure: String) -> FunctionError {
    FunctionError(
      "\(path): the vfio-user server is gone: \(failure)",
      remedy: "start it again, as with: varve serve IMAGE --socket \(path)", errno: ENODEV)
  }

  /// Fails the connection.
  /// - Parameter tells: whether `removalDescriptor` fires.
  func fail(_ reason: String, tells: Bool = true) {
    let isFirst = state.withLock { state in
      guard state.failure == nil else { return false }
      state.failure = reason
      return true
    }
    guard isFirst else { return }
    socket.shutDown()
    if tells { cm_eventfd_signal(removalDescriptor) }
    cm_eventfd_signal(replied)
  }

  // MARK: On the listening thread

  /// Handles a message.
  fileprivate func handle(_ message: Message) throws(SocketError) {
    if message.header.flags.isRequest { return try answer(message) }
    let isAwaited = state.withLock { state in
      guard let awaited = state.awaited, message.header.flags.isReply,
        awaited == (message.header.identifier, message.header.command)
      else { return false }
      state.awaited = nil
      state.reply = message
      return true
    }
    guard isAwaited else {
      let name = MessageCommand.name(message.header.command)
      return fail("it sent message \(message.header.identifier) (\(name)), which answers nothing")
    }
    cm_eventfd_signal(replied)
  }

  /// Answers the server's requests: accesses to memory that it could not map.
  private func answer(_ message: Message) throws(SocketError) {
    let access = DMAAccess(decoding: message.payload)
    var payload: [UInt8]?
    switch (MessageCommand(rawValue: message.header.command), access) {
    case (.dmaRead, let access?) where access.data.isEmpty:
      payload = memory.read(access.address, access.count).map {
        DMAAccess(address: access.address, count: access.count, data: $0).encoded
      }
    case (.dmaWrite, let access?) where access.count == UInt64(access.data.count):
      if memory.write(access.address, access.data) {
        payload = DMAAccess(address: access.address, count: access.count).encoded
      }
    default: break
    }
    guard !message.header.flags.contains(.noReply) else { return }
    let reply = payload
    // A server that does not receive the answer must not delay a waiting exchange beyond its deadline.
    let deadline = state.withLock { min($0.due ?? Deadline(in: patience), Deadline(in: patience)) }
    let failure: SocketError? = sending.withLock { _ in
      do throws(SocketError) {
        try socket.send(
          identifier: message.header.identifier, command: message.header.command,
          flags: reply == nil ? [.reply, .error] : .reply, errno: reply == nil ? UInt32(EFAULT) : 0,
          payload: reply ?? [], by: deadline)
        return nil
      } catch { return error }
    }
    if let failure { throw failure }
  }
}

/// The listening thread's state: it retains the connection only while a message is handled, so that the
/// connection can be released.
private final class Listener: @unchecked Sendable {
  let socket: MessageSocket
  weak var connection: ClientConnection?

  init(_ socket: MessageSocket, _ connection: ClientConnection) {
    self.socket = socket
    self.connection = connection
  }
}

/// Handles messages until the socket ends.
private func listen(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  guard let argument else { return nil }
  cm_drop_capabilities()
  let listener = Unmanaged<Listener>.fromOpaque(argument).takeRetainedValue()
  do throws(SocketError) {
    while true {
      guard let message = try listener.socket.receive() else {
        _ = try listener.socket.wait(until: listener.socket.due)
        continue
      }
      guard let connection = listener.connection else { return nil }
      try connection.handle(message)
    }
  } catch {
    listener.connection?.fail("\(error)")
  }
  return nil
}
