import CMachine
import Foundation
import Glibc
import PCI
import Testing

@testable import VFIOUser

/// Servers that answer wrongly: the client fails with an error, and every later access is as to a device that
/// is gone.
@Suite(.serialized, .oneAtATime) struct HostileServerTests {
  /// What a server does with a request; nil for an ordinary answer.
  typealias Script = @Sendable (Message, MessageSocket) throws -> Bool

  /// Serves one client by a script, and otherwise as a function without regions and interrupts.
  func serve(_ script: @escaping Script) -> String {
    let path = RunningServer.freshPath()
    let listener = SocketAddress.makeSocket()
    _ = SocketAddress(path)?.bind(listener)
    listen(listener, 1)
    Thread.detachNewThread {
      // The socket does not block.
      var entry = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
      poll(&entry, 1, 10_000)
      let peer = RawPeer(MessageSocket(owning: accept(listener, nil, nil)))
      close(listener)
      unlink(path)
      while let request = try? peer.next() {
        do {
          if try script(request, peer.socket) { continue }
          try Self.answer(request, peer.socket)
        } catch { return }
      }
    }
    return path
  }

  private static func answer(_ request: Message, _ socket: MessageSocket) throws {
    var payload: [UInt8] = []
    switch MessageCommand(rawValue: request.header.command) {
    case .version: payload = VersionMessage().encoded
    case .deviceInfo: payload = DeviceInfo(flags: 3, regions: 9, interrupts: 5).encoded
    case .regionInfo: payload = RegionInfo(index: 0, length: 0x2000).encoded
    case .regionRead:
      guard let access = RegionAccessMessage(decoding: request.payload) else { return }
      var reply = access
      reply.data = [UInt8](repeating: 0, count: Int(access.count))
      payload = reply.encoded
    default: break
    }
    try socket.send(
      identifier: request.header.identifier, command: request.header.command, flags: .reply, payload: payload)
  }

  private func isRead(_ message: Message, at offset: UInt64) -> Bool {
    message.header.command == MessageCommand.regionRead.rawValue
      && RegionAccessMessage(decoding: message.payload)?.offset == offset
  }

  @Test(arguments: ["major", "text", "command", "close", "error", "silence"])
  func negotiationsThatFailAreSaidSo(kind: String) throws {
    let path = serve { request, socket in
      let identifier = request.header.identifier
      switch kind {
      case "major":
        try socket.send(
          identifier: identifier, command: 1, flags: .reply, payload: VersionMessage(major: 2).encoded)
      case "text":
        try socket.send(identifier: identifier, command: 1, flags: .reply, payload: [0, 0, 1, 0, 0x7b])
      case "command": try socket.send(identifier: identifier, command: 9, flags: .reply)
      case "error":
        try socket.send(identifier: identifier, command: 1, flags: [.reply, .error], errno: 22)
      case "silence": socket.shutDown()
      default: throw POSIXError(.EIO)
      }
      return true
    }
    let error = #expect(throws: FunctionError.self) { try VFIOUserFunction(socket: path) }
    #expect(error?.problem.contains(path) == true && error?.remedy.isEmpty == false)
  }

  /// The faults begin when CSTS is read.
  @Test(arguments: ["identifier", "command", "size", "truncated", "close", "short", "error", "unasked"])
  func wrongAnswersReadAsADeviceThatIsGone(kind: String) throws {
    let path = serve { [self] request, socket in
      guard isRead(request, at: 0x1c) else { return false }
      let identifier = request.header.identifier
      switch kind {
      case "identifier": try socket.send(identifier: identifier &+ 1, command: 9, flags: .reply)
      case "command": try socket.send(identifier: identifier, command: 10, flags: .reply)
      case "size":
        var writer = WireWriter()
        MessageHeader(identifier: identifier, command: 9, messageSize: .max, flags: .reply).encode(
          to: &writer)
        try socket.send(writer.bytes)
      case "truncated":
        var writer = WireWriter()
        MessageHeader(identifier: identifier, command: 9, messageSize: 64, flags: .reply).encode(to: &writer)
        try socket.send(writer.bytes + [1, 2])
        throw POSIXError(.EIO)
      case "short": try socket.send(identifier: identifier, command: 9, flags: .reply, payload: [1])
      case "error":
        try socket.send(identifier: identifier, command: 9, flags: [.reply, .error], errno: 5)
      case "unasked": try socket.send(identifier: 4444, command: 13, flags: .reply)
      default: throw POSIXError(.EIO)
      }
      return true
    }
    let function = try VFIOUserFunction(socket: path)
    let registers = try function.openBAR(0)
    #expect(registers.load32(at: 0x1c) == .max)
    let goesOn = ["short", "error"].contains(kind)
    #expect(registers.load32(at: 8) == (goesOn ? 0 : .max))
    if !goesOn {
      let error = #expect(throws: FunctionError.self) { try function.reset() }
      #expect(error?.errno == ENODEV && error?.problem.contains(path) == true)
    }
    function.close()
    function.close()
  }

  /// A server that requests memory gets mapped memory and nothing else.
  @Test func answersOnlyForItsMemory() throws {
    let results = Results()
    let path = serve { request, socket in
      guard request.header.command == MessageCommand.dmaMap.rawValue,
        let map = DMAMap(decoding: request.payload)
      else { return false }
      let questions: [(MessageCommand, DMAAccess)] = [
        (.dmaRead, DMAAccess(address: map.address, count: 8)),
        (.dmaWrite, DMAAccess(address: map.address + 16, count: 4, data: [9, 8, 7, 6])),
        (.dmaRead, DMAAccess(address: map.address + map.length - 4, count: 8)),
        (.dmaRead, DMAAccess(address: 0, count: 8)), (.dmaRead, DMAAccess(address: map.address, count: .max)),
        (.dmaWrite, DMAAccess(address: map.address - 1, count: 1, data: [1])),
        (.reset, DMAAccess(address: 0, count: 0)),
      ]
      let peer = RawPeer(socket)
      for (command, access) in questions {
        let reply = try peer.ask(command, access.encoded)
        results.append(reply.header.flags.contains(.error) ? nil : DMAAccess(decoding: reply.payload)?.data)
      }
      return false
    }
    let function = try VFIOUserFunction(socket: path)
    defer { function.close() }
    let arena = try DMAArena(frames: 2)
    memcpy(arena.base, [1, 2, 3, 4, 5, 6, 7, 8] as [UInt8], 8)
    try function.map(arena)
    #expect(results.all == [[1, 2, 3, 4, 5, 6, 7, 8], [], nil, nil, nil, nil, nil])
    #expect(Array(UnsafeRawBufferPointer(start: arena.base + 16, count: 4)) == [9, 8, 7, 6])
  }

  /// Unexpected descriptors are closed.
  @Test func strayDescriptorsAreClosed() throws {
    let pipe = UnsafeMutablePointer<Int32>.allocate(capacity: 2)
    defer { pipe.deallocate() }
    #expect(Glibc.pipe(pipe) == 0)
    let (reader, writer) = (pipe[0], pipe[1])
    let path = serve { request, socket in
      guard request.header.command == MessageCommand.deviceInfo.rawValue else { return false }
      try socket.send(
        identifier: request.header.identifier, command: request.header.command, flags: .reply,
        payload: DeviceInfo(flags: 3, regions: 9, interrupts: 5).encoded, descriptors: [writer, writer])
      close(writer)
      return true
    }
    let function = try VFIOUserFunction(socket: path)
    defer { function.close() }
    // The end of the pipe shows that its other side is closed everywhere.
    var entry = pollfd(fd: reader, events: Int16(POLLIN), revents: 0)
    #expect(poll(&entry, 1, 5_000) == 1 && entry.revents & Int16(POLLHUP) != 0)
    close(reader)
  }
}

/// The results of a server's thread.
private final class Results: @unchecked Sendable {
  private let lock = NSLock()
  private var values: [[UInt8]?] = []

  func append(_ value: [UInt8]?) { lock.withLock { values.append(value) } }

  var all: [[UInt8]?] { lock.withLock { values } }
}
