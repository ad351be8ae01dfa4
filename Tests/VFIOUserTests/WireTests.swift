import TestSupport
import Testing

@testable import VFIOUser

@Suite struct WireTests {
  @Test func headersReadBack() throws {
    var random = SplitMix(seed: 1)
    for _ in 0..<1000 {
      let header = MessageHeader(
        identifier: UInt16(truncatingIfNeeded: random.next()),
        command: UInt16(truncatingIfNeeded: random.next()),
        messageSize: UInt32(truncatingIfNeeded: random.next()),
        flags: .init(rawValue: UInt32(truncatingIfNeeded: random.next())),
        errno: UInt32(truncatingIfNeeded: random.next()))
      var writer = WireWriter()
      header.encode(to: &writer)
      #expect(writer.bytes.count == MessageHeader.size)
      #expect(writer.bytes.withUnsafeBytes { MessageHeader(decoding: $0) } == header)
    }
  }

  /// The header as the protocol lays it out.
  @Test func headerIsLaidOutAsTheProtocolSays() {
    var writer = WireWriter()
    MessageHeader(identifier: 0x0102, command: 9, messageSize: 0x20, flags: [.reply, .error], errno: 22)
      .encode(to: &writer)
    #expect(writer.bytes == [2, 1, 9, 0, 0x20, 0, 0, 0, 0x21, 0, 0, 0, 22, 0, 0, 0])
  }

  @Test func payloadsReadBack() {
    var random = SplitMix(seed: 2)
    for _ in 0..<300 {
      let (a, b, c) = (random.next(), random.next(), random.next())
      let (x, y) = (UInt32(truncatingIfNeeded: a), UInt32(truncatingIfNeeded: b))
      let data = random.bytes(Int(c % 64) + 1)
      survives(DMAMap(access: x, offset: b, address: c, length: a))
      survives(DMAUnmap(flags: x, address: b, length: c))
      survives(DMAAccess(address: a, count: b))
      survives(DMAAccess(address: a, count: UInt64(data.count), data: data))
      survives(DeviceInfo(flags: x, regions: y, interrupts: x))
      survives(InterruptInfo(flags: x, index: y, count: x))
      survives(SetInterrupts(flags: x, index: y, start: x, count: y, data: data))
      survives(RegionAccessMessage(offset: a, region: x, count: y))
      survives(RegionAccessMessage(offset: a, region: x, count: UInt32(data.count), data: data))
      let areas = (0..<Int(c % 5)).map { RegionInfo.Area(offset: a &+ UInt64($0), length: b) }
      survives(RegionInfo(argumentSize: 4096, flags: x, index: y, length: b, offset: c, areas: areas))
      survives(
        VersionMessage(
          minor: UInt16(truncatingIfNeeded: a),
          capabilities: .init(maximumDescriptors: Int(b % 65_536), maximumTransfer: Int(c % (1 << 30)) + 1)))
    }
  }

  private func survives<Payload: MessagePayload & Equatable>(_ payload: Payload) {
    #expect(Payload(decoding: payload.encoded) == payload)
  }

  /// Decoding any bytes gives a value or nil.
  @Test func anyBytesAreDecodedOrRefused() {
    var random = SplitMix(seed: 3)
    for _ in 0..<5000 {
      var bytes = random.bytes(Int(random.next() % 120))
      // Nearly valid messages test more.
      if bytes.count > 16, random.next() & 1 == 0 {
        for index in 0..<16 where index % 4 > 0 { bytes[index] = 0 }
      }
      _ = DMAMap(decoding: bytes)
      _ = DMAUnmap(decoding: bytes)
      _ = DMAAccess(decoding: bytes)
      _ = DeviceInfo(decoding: bytes)
      _ = InterruptInfo(decoding: bytes)
      _ = SetInterrupts(decoding: bytes)
      _ = RegionAccessMessage(decoding: bytes)
      _ = RegionInfo(decoding: bytes)
      _ = VersionMessage(decoding: bytes)
    }
  }

  /// A chain of capabilities with a loop ends.
  @Test func capabilityChainsWithLoopsAreRefused() {
    var bytes = RegionInfo(index: 0, areas: [.init(offset: 4096, length: 4096)]).encoded
    // An unknown capability that names itself as the next one.
    bytes[32] = 9
    bytes[36] = 32
    #expect(RegionInfo(decoding: bytes) == nil)
    bytes[36] = 200
    #expect(RegionInfo(decoding: bytes) == nil)
  }

  @Test(arguments: [
    "", "{}", #"{"capabilities":{}}"#,
    #"{"other":1,"capabilities":{"max_msg_fds":8,"twin_socket":{"a":[]}}}"#,
  ]) func versionsOfOthersAreRead(text: String) {
    let bytes = [0, 0, 1, 0] + (text.isEmpty ? [] : Array(text.utf8) + [0])
    let version = VersionMessage(decoding: bytes)
    #expect(version?.capabilities.maximumDescriptors == (text.contains("max_msg_fds") ? 8 : 1))
    #expect(version?.capabilities.maximumTransfer == 1 << 20)
  }

  @Test(arguments: [
    "{", "[]x", #"{"capabilities":3}"#, #"{"capabilities":{"max_msg_fds":-1}}"#,
    #"{"capabilities":{"max_data_xfer_size":"many"}}"#, #"{"capabilities":{"max_data_xfer_size":0}}"#,
  ]) func versionsThatMakeNoSenseAreRefused(text: String) {
    #expect(VersionMessage(decoding: [0, 0, 1, 0] + Array(text.utf8) + [0]) == nil)
    #expect(VersionMessage(decoding: [0, 0, 1, 0] + Array("{}".utf8)) == nil, "without NUL")
  }
}
