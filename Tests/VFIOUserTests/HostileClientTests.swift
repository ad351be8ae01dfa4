import CMachine
import Glibc
import TestSupport
import Testing
import VFIOUserServer

@testable import VFIOUser

/// Hostile or faulty clients: each request is refused, or the client disconnected, and the server serves the
/// next one.
@Suite(.serialized, .oneAtATime) struct HostileClientTests {
  /// Whether the server still serves a client.
  private func isWell(_ server: RunningServer) -> Bool {
    guard let peer = try? server.connect() else { return false }
    return (try? peer.refusal(.deviceInfo, DeviceInfo().encoded)) == 0
  }

  @Test func invalidMessagesAreRefused() throws {
    let server = try RunningServer()
    let peer = try server.connect()
    let bar0 = { RegionAccessMessage(offset: $0, region: 0, count: $1).encoded }
    let requests: [(MessageCommand, [UInt8])] = [
      (.version, VersionMessage().encoded), (.deviceInfo, []), (.deviceInfo, [1, 2, 3]),
      (.regionInfo, RegionInfo(index: 9).encoded), (.regionInfo, RegionInfo(index: .max).encoded),
      (.regionDescriptors, [UInt8](repeating: 0, count: 16)),
      (.interruptInfo, InterruptInfo(index: 5).encoded),
      (.regionRead, bar0(.max, 4)), (.regionRead, bar0(0x1ffe, 4)), (.regionRead, bar0(0, 0)),
      (.regionRead, bar0(2, 4)), (.regionRead, bar0(0, .max)),
      (.regionRead, RegionAccessMessage(offset: 0, region: 2, count: 4).encoded),
      (.regionRead, RegionAccessMessage(offset: 0, region: .max, count: 4).encoded),
      (.regionWrite, bar0(0, 4)),
      (.regionWrite, RegionAccessMessage(offset: 1, region: 0, count: 4, data: [0, 0, 0, 0]).encoded),
      (.regionWrite, RegionAccessMessage(offset: 4095, region: 7, count: 2, data: [0, 0]).encoded),
      (.dmaMap, DMAMap(offset: 0, address: 0, length: 0).encoded),
      (.dmaMap, DMAMap(offset: 0, address: .max - 10, length: 4096).encoded),
      (.dmaMap, DMAMap(access: 0xff, offset: 0, address: 0, length: 4096).encoded),
      (.dmaMap, DMAMap(access: 0, offset: 0, address: 0, length: 4096).encoded),
      (.dmaMap, DMAMap(offset: 0, address: 0, length: .max / 2).encoded),
      (.dmaUnmap, DMAUnmap(address: 0, length: 4096).encoded),
      (.dmaUnmap, DMAUnmap(flags: 9, address: 0, length: 4096).encoded),
      (.dmaRead, DMAAccess(address: 0, count: 4).encoded),
      (.dmaWrite, DMAAccess(address: 0, count: 4).encoded),
      (.setInterrupts, []), (.setInterrupts, SetInterrupts(flags: 0, index: 2, start: 0, count: 1).encoded),
      (.setInterrupts, SetInterrupts(flags: 0x24, index: 2, start: .max, count: 1).encoded),
      (.setInterrupts, SetInterrupts(flags: 0x24, index: 2, start: 1, count: .max).encoded),
      (.setInterrupts, SetInterrupts(flags: 0x24, index: .max, start: 0, count: 1).encoded),
      (.setInterrupts, SetInterrupts(flags: 0x21, index: 2, start: 0, count: 2).encoded),
    ]
    for (command, payload) in requests {
      #expect(try peer.refusal(command, payload) != 0, "\(command) \(payload)")
    }
    for number: UInt16 in [0, 14, 15, 16, .max] {
      #expect(try peer.ask(number: number).header.flags.contains(.error))
    }
    // The client is still served.
    #expect(try peer.refusal(.deviceInfo, DeviceInfo().encoded) == 0)
  }

  @Test func memoryThatOverlapsOrIsNotThereIsRefused() throws {
    let server = try RunningServer()
    let peer = try server.connect()
    let memory = cm_memfd("test")
    defer { close(memory) }
    #expect(ftruncate(memory, 1 << 16) == 0)
    let map = { (address: UInt64, length: UInt64, offset: UInt64) in
      try peer.refusal(
        .dmaMap, DMAMap(offset: offset, address: address, length: length).encoded, descriptors: [memory])
    }
    #expect(try map(0x10000, 0x4000, 0) == 0)
    #expect(try map(0x12000, 0x4000, 0) == EEXIST)
    #expect(try map(0xf000, 0x2000, 0) == EEXIST)
    #expect(try map(0x20000, 0x4000, 0xe000) == EINVAL, "beyond the file")
    #expect(try map(0x20000, 0x4000, .max) == EINVAL)
    #expect(try map(0x20000, 0x4000, 1) == EINVAL, "not on a page")
    #expect(try peer.refusal(.dmaUnmap, DMAUnmap(address: 0x10000, length: 0x3000).encoded) == ENOENT)
    let unmap = DMAUnmap(address: 0x10000, length: 0x4000).encoded
    #expect(try peer.refusal(.dmaUnmap, unmap, descriptors: [memory]) == 0, "as SPDK's client does")
    #expect(try map(0x12000, 0x4000, 0) == 0, "nothing is left of the former mapping")
    // A file that cannot be mapped, and too many descriptors.
    let eventfd = cm_eventfd()
    defer { close(eventfd) }
    let payload = DMAMap(offset: 0, address: 0, length: 4096).encoded
    #expect(try peer.refusal(.dmaMap, payload, descriptors: [eventfd]) == EINVAL)
    #expect(try peer.refusal(.dmaMap, payload, descriptors: [memory, memory]) == EINVAL)
    #expect(try peer.refusal(.reset, descriptors: [memory]) == EINVAL)
  }

  /// Only eventfds are accepted as interrupts: writing to a pipe without a reader would end the server.
  @Test func interruptsAreEventfds() throws {
    let server = try RunningServer()
    let peer = try server.connect()
    let ends = UnsafeMutablePointer<Int32>.allocate(capacity: 2)
    defer { ends.deallocate() }
    #expect(pipe(ends) == 0)
    let eventfd = cm_eventfd()
    defer { for descriptor in [ends[0], ends[1], eventfd] { close(descriptor) } }
    let connect = SetInterrupts(
      flags: SetInterrupts.eventfds | SetInterrupts.trigger, index: InterruptKind.msix, start: 1, count: 1)
    #expect(try peer.refusal(.setInterrupts, connect.encoded, descriptors: [ends[1]]) == EINVAL)
    #expect(try peer.refusal(.setInterrupts, connect.encoded, descriptors: [eventfd]) == 0)
    #expect(try peer.refusal(.setInterrupts, connect.encoded, descriptors: [eventfd, eventfd]) == EINVAL)
    #expect(try peer.refusal(.setInterrupts, connect.encoded) == 0, "none turns it off")
  }

  /// More memory mappings than are allowed.
  @Test func memoryIsLimitedInNumber() throws {
    let server = try RunningServer()
    let peer = try server.connect()
    let memory = cm_memfd("test")
    defer { close(memory) }
    #expect(ftruncate(memory, 4096) == 0)
    var refused: Int32 = 0
    for index in 0..<300 where refused == 0 {
      let message = DMAMap(offset: 0, address: UInt64(index) << 20, length: 4096)
      refused = try peer.refusal(.dmaMap, message.encoded, descriptors: [memory])
    }
    #expect(refused == ENOSPC)
    #expect(try peer.refusal(.dmaUnmap, DMAUnmap(flags: DMAUnmap.all, address: 0, length: 0).encoded) == 0)
    #expect(
      try peer.refusal(
        .dmaMap, DMAMap(offset: 0, address: 0, length: 4096).encoded, descriptors: [memory]) == 0)
  }

  /// A request before the version ends the connection.
  @Test func theVersionComesFirst() throws {
    let server = try RunningServer()
    let hasty = try server.connect(agrees: false)
    #expect(try hasty.ask(.deviceInfo, DeviceInfo().encoded).header.flags.contains(.error))
    #expect(hasty.isClosed())
    let other = try server.connect(agrees: false)
    #expect(try other.ask(.version, VersionMessage(major: 3).encoded).header.flags.contains(.error))
    #expect(other.isClosed())
    let garbled = try server.connect(agrees: false)
    #expect(try garbled.ask(.version, [0, 0, 1, 0] + Array("{{{".utf8)).header.flags.contains(.error))
    #expect(isWell(server))
  }

  /// Sizes that no message has.
  @Test(arguments: [0, 15, UInt32.max, 1 << 30]) func messagesOfImpossibleSizesEndTheConnection(size: UInt32)
    throws
  {
    let server = try RunningServer()
    let peer = try server.connect()
    var writer = WireWriter()
    MessageHeader(identifier: 1, command: 4, messageSize: size).encode(to: &writer)
    try peer.socket.send(writer.bytes)
    #expect(peer.isClosed())
    #expect(isWell(server))
  }

  @Test func aConnectionThatEndsWithinAMessageIsForgotten() throws {
    let server = try RunningServer()
    do {
      let peer = try server.connect()
      var writer = WireWriter()
      MessageHeader(identifier: 1, command: 4, messageSize: 32).encode(to: &writer)
      try peer.socket.send(Array(writer.bytes[..<9]))
    }
    #expect(isWell(server))
  }

  /// A message that is sent byte by byte is one message.
  @Test func messagesInPiecesAreTaken() throws {
    let server = try RunningServer()
    let peer = try server.connect()
    var writer = WireWriter()
    MessageHeader(identifier: 5, command: 4, messageSize: 32).encode(to: &writer)
    writer.append(contentsOf: DeviceInfo().encoded)
    for byte in writer.bytes {
      try peer.socket.send([byte])
      usleep(500)
    }
    #expect(try peer.next()?.header.identifier == 5)
  }

  /// Memory truncated while the server uses it, and queues in it.
  @Test func truncatedMemoryDoesNotHarmTheServer() throws {
    let server = try RunningServer()
    let peer = try server.connect()
    let memory = cm_memfd("test")
    defer { close(memory) }
    #expect(ftruncate(memory, 1 << 16) == 0)
    #expect(
      try peer.refusal(
        .dmaMap, DMAMap(offset: 0, address: 0x10000, length: 1 << 16).encoded, descriptors: [memory]) == 0)
    try write(peer, 0x04, [6, 0], region: Region.configuration)
    try write(peer, 0x24, [0x1f, 0, 0x1f, 0])
    try write(peer, 0x28, [0, 0, 1, 0, 0, 0, 0, 0])
    try write(peer, 0x30, [0, 0x10, 1, 0, 0, 0, 0, 0])
    try write(peer, 0x14, [1, 0, 0x46, 0])
    #expect(ftruncate(memory, 0) == 0)
    try write(peer, 0x1000, [8, 0, 0, 0])
    #expect(isWellAfter(peer, server))
  }

  private func isWellAfter(_ peer: RawPeer, _ server: RunningServer) -> Bool {
    (try? peer.refusal(.deviceInfo, DeviceInfo().encoded)) == 0
  }

  private func write(_ peer: RawPeer, _ offset: UInt64, _ data: [UInt8], region: UInt32 = 0) throws {
    let message = RegionAccessMessage(
      offset: offset, region: region, count: UInt32(data.count), data: data)
    #expect(try peer.refusal(.regionWrite, message.encoded) == 0)
  }

  /// A client that does not answer memory accesses is disconnected, and the server continues.
  @Test func aClientThatDoesNotAnswerMemoryAccessesIsDisconnected() throws {
    let server = try RunningServer()
    do {
      let peer = try server.connect()
      #expect(try peer.refusal(.dmaMap, DMAMap(offset: 0, address: 0x10000, length: 1 << 16).encoded) == 0)
      try write(peer, 0x04, [6, 0], region: Region.configuration)
      try write(peer, 0x24, [0x1f, 0, 0x1f, 0])
      try write(peer, 0x28, [0, 0, 1, 0, 0, 0, 0, 0])
      try write(peer, 0x30, [0, 0x10, 1, 0, 0, 0, 0, 0])
      try write(peer, 0x14, [1, 0, 0x46, 0])
      let doorbell = RegionAccessMessage(offset: 0x1000, region: 0, count: 4, data: [1, 0, 0, 0])
      try peer.socket.send(identifier: 9, command: 10, payload: doorbell.encoded)
      let question = try #require(try peer.next())
      #expect(question.header.command == MessageCommand.dmaRead.rawValue && question.header.flags.isRequest)
      // A reply to another request.
      try peer.socket.send(identifier: 12345, command: 11, flags: .reply)
      #expect(peer.isClosed())
    }
    #expect(isWell(server))
  }

  /// Random messages, none of which may harm the server.
  @Test func survivesRandomMessages() throws {
    let server = try RunningServer()
    var random = SplitMix(seed: 11)
    for _ in 0..<40 {
      guard let peer = try? server.connect() else { continue }
      for _ in 0..<30 {
        var payload = random.bytes(Int(random.next() % 48))
        for index in payload.indices where random.next() % 3 > 0 { payload[index] = 0 }
        if payload.count >= 4 { payload[0] = UInt8(payload.count) }
        // DMA in remote memory makes the server wait for replies; it is tested above.
        var command = UInt16(random.next() % 16)
        if command == MessageCommand.dmaMap.rawValue { command = MessageCommand.dmaUnmap.rawValue }
        let flags = MessageHeader.Flags(rawValue: random.next() % 8 == 0 ? UInt32(random.next() % 64) : 0x10)
        guard (try? peer.socket.send(identifier: 1, command: command, flags: flags, payload: payload)) != nil
        else { break }
      }
    }
    #expect(isWell(server))
  }
}
