import CMachine
import Foundation
import Glibc
import PCI
import Testing
import VFIOUserServer

@testable import VFIOUser

/// Peers that send or receive a byte now and then: the time limit is for the whole message, and such a peer
/// prevents the other side neither from serving others nor from ending.
@Suite(.serialized, .oneAtATime) struct PatienceTests {
  /// The pause between two bytes, far shorter than the time limits (us).
  private static let pause: UInt32 = 20_000
  private static let patience: UInt64 = 300_000_000

  private func serve(patience: UInt64 = patience) throws -> RunningServer {
    var options = ServerOptions()
    options.patience = patience
    return try RunningServer(options)
  }

  /// Sends bytes one by one, the descriptors with each of them, as long as the peer receives them.
  private func drip(_ bytes: [UInt8], _ descriptors: [Int32] = [], to peer: RawPeer) {
    let descriptor = dup(peer.socket.descriptor)
    Thread.detachNewThread {
      let socket = MessageSocket(owning: descriptor)
      for byte in bytes {
        guard (try? socket.send([byte], descriptors)) != nil else { return }
        usleep(Self.pause)
      }
    }
  }

  private static func message(_ command: MessageCommand, _ payload: [UInt8]) -> [UInt8] {
    var writer = WireWriter()
    MessageHeader(
      identifier: 1, command: command.rawValue, messageSize: UInt32(MessageHeader.size + payload.count)
    ).encode(to: &writer)
    writer.append(contentsOf: payload)
    return writer.bytes
  }

  /// Whether the next client is served within some seconds.
  private func servesTheNext(_ server: RunningServer) -> Bool {
    let limit = Deadline(in: 3_000_000_000)
    while limit.nanoseconds > 0 {
      if let peer = try? server.connect(), (try? peer.refusal(.deviceInfo, DeviceInfo().encoded)) == 0 {
        return true
      }
      usleep(10_000)
    }
    return false
  }

  private func seconds(_ body: () throws -> Void) rethrows -> Double {
    let start = cm_monotonic_ns()
    try body()
    return Double(cm_monotonic_ns() - start) / 1e9
  }

  enum Way: CaseIterable { case silence, version, header, body, descriptors }

  /// Begins an exchange with the server that never ends.
  private func begin(_ way: Way, _ server: RunningServer) throws -> RawPeer {
    let peer = try server.connect(agrees: way == .header || way == .body || way == .descriptors)
    let long = Self.message(.regionWrite, [UInt8](repeating: 0, count: 1 << 16))
    switch way {
    case .silence: break
    case .version: drip(Self.message(.version, [UInt8](repeating: 32, count: 4000)), to: peer)
    case .header: drip(long, to: peer)
    case .body:
      try peer.socket.send(Array(long[..<20]))
      drip(Array(long[20...]), to: peer)
    case .descriptors: drip(long, [STDIN_FILENO], to: peer)
    }
    usleep(100_000)
    return peer
  }

  @Test(arguments: Way.allCases) func aMessageHasItsTimeAsAWhole(way: Way) throws {
    let server = try serve()
    let peer = try begin(way, server)
    #expect(servesTheNext(server))
    withExtendedLifetime(peer) {}
  }

  @Test(arguments: Way.allCases) func theServerEndsAmidAMessage(way: Way) throws {
    let server = try serve(patience: 60_000_000_000)
    let peer = try begin(way, server)
    #expect(seconds { server.stop() } < 1)
    withExtendedLifetime(peer) {}
  }

  /// A client may be idle without limit between two messages.
  @Test func anIdleClientStays() throws {
    let server = try serve(patience: 50_000_000)
    let peer = try server.connect()
    usleep(300_000)
    #expect(try peer.refusal(.deviceInfo, DeviceInfo().encoded) == 0)
  }

  /// Requests more than the socket's buffer holds, and receives single bytes of it, or nothing.
  private func takeSlowly(_ bytes: Int, _ server: RunningServer) throws -> RawPeer {
    let peer = try server.connect()
    let descriptor = dup(peer.socket.descriptor)
    Thread.detachNewThread {
      let question = Self.message(
        .regionRead, RegionAccessMessage(offset: 0, region: Region.configuration, count: 4096).encoded)
      while send(descriptor, question, question.count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT)) > 0 {}
      var buffer = [UInt8](repeating: 0, count: max(bytes, 1))
      while bytes == 0 || recv(descriptor, &buffer, bytes, 0) != 0 {
        usleep(Self.pause)
        if send(descriptor, question, 0, Int32(MSG_NOSIGNAL)) < 0 { break }
      }
      close(descriptor)
    }
    usleep(100_000)
    return peer
  }

  @Test(arguments: [0, 1, 512]) func aReplyHasItsTimeAsAWhole(bytes: Int) throws {
    let server = try serve()
    let peer = try takeSlowly(bytes, server)
    #expect(servesTheNext(server))
    withExtendedLifetime(peer) {}
  }

  @Test(arguments: [0, 1]) func theServerEndsAmidAReply(bytes: Int) throws {
    let server = try serve(patience: 60_000_000_000)
    let peer = try takeSlowly(bytes, server)
    #expect(seconds { server.stop() } < 1)
    withExtendedLifetime(peer) {}
  }

  /// Has the server fetch a command from remote memory, and answers byte by byte.
  private func giveMemorySlowly(_ server: RunningServer) throws -> RawPeer {
    let peer = try server.connect()
    func write(_ region: UInt32, _ offset: UInt64, _ data: [UInt8]) throws {
      let access = RegionAccessMessage(offset: offset, region: region, count: UInt32(data.count), data: data)
      #expect(try peer.refusal(.regionWrite, access.encoded) == 0)
    }
    #expect(try peer.refusal(.dmaMap, DMAMap(offset: 0, address: 0x10000, length: 1 << 16).encoded) == 0)
    try write(Region.configuration, 0x04, [6, 0])
    try write(Region.bar0, 0x24, [0x1f, 0, 0x1f, 0])
    try write(Region.bar0, 0x28, [0, 0, 1, 0, 0, 0, 0, 0])
    try write(Region.bar0, 0x30, [0, 0x10, 1, 0, 0, 0, 0, 0])
    try write(Region.bar0, 0x14, [1, 0, 0x46, 0])
    let doorbell = RegionAccessMessage(offset: 0x1000, region: 0, count: 4, data: [8, 0, 0, 0])
    try peer.socket.send(identifier: 9, command: 10, payload: doorbell.encoded)
    let question = try #require(try peer.next())
    #expect(question.header.command == MessageCommand.dmaRead.rawValue)
    drip(Self.message(.dmaRead, [UInt8](repeating: 0, count: 4096)), to: peer)
    return peer
  }

  @Test func aMemoryAccessHasItsTimeAsAWhole() throws {
    let server = try serve()
    let peer = try giveMemorySlowly(server)
    #expect(servesTheNext(server))
    withExtendedLifetime(peer) {}
  }

  @Test func theServerEndsDuringAMemoryAccess() throws {
    let server = try serve(patience: 60_000_000_000)
    let peer = try giveMemorySlowly(server)
    #expect(seconds { server.stop() } < 1)
    withExtendedLifetime(peer) {}
  }

  // MARK: The client

  /// A server that answers as in `HostileServerTests` until `command`, whose reply it sends byte by byte.
  private func dripping(_ command: MessageCommand) -> String {
    HostileServerTests().serve { request, socket in
      guard request.header.command == command.rawValue else { return false }
      for byte in Self.message(command, [UInt8](repeating: 0, count: 4096)) {
        try socket.send([byte])
        usleep(Self.pause)
      }
      return true
    }
  }

  @Test(arguments: [MessageCommand.version, .deviceInfo, .regionRead])
  func theClientsExchangesHaveTheirTimeAsAWhole(command: MessageCommand) throws {
    let path = dripping(command)
    let taken = seconds {
      let error = #expect(throws: FunctionError.self) {
        let function = try VFIOUserFunction(socket: path, patience: Self.patience)
        defer { function.close() }
        try function.reset()
      }
      #expect(error?.problem.contains(path) == true && error?.remedy.isEmpty == false)
    }
    #expect(taken < 2)
  }

  /// The server receives single bytes now and then of doorbell messages without a reply.
  @Test func theServerHasATimeLimitToReceiveAMessage() throws {
    let path = HostileServerTests().serve { request, socket in
      guard request.header.command == MessageCommand.regionWrite.rawValue,
        RegionAccessMessage(decoding: request.payload)?.region == Region.bar0
      else { return false }
      var byte: UInt8 = 0
      while recv(socket.descriptor, &byte, 1, 0) != 0 { usleep(Self.pause) }
      throw POSIXError(.EIO)
    }
    let function = try VFIOUserFunction(socket: path, patience: Self.patience)
    defer { function.close() }
    let registers = try function.openBAR(0)
    let taken = seconds {
      for _ in 0..<20_000 { registers.store32(1, at: 0x1000) }
      #expect(registers.load32(at: 0x1c) == .max)
    }
    #expect(taken < 5)
  }
}
