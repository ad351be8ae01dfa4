import Format
import TestSupport
import Testing

@Suite("Log records")
struct LogRecordTests {
  /// One record of each kind with random fields, encoded.
  private static func encode(_ random: inout SplitMix) -> RecordBuffer {
    var buffer = RecordBuffer()
    let name = random.bytes(Int.random(in: 1...255, using: &random))
    let value = random.bytes(Int.random(in: 0...4000, using: &random))
    func id() -> UInt64 { random.next() }
    func word() -> UInt32 { UInt32(truncatingIfNeeded: random.next()) }
    func time() -> Int64 { Int64(bitPattern: random.next()) }
    name.raw { name in
      value.raw { value in
        buffer.append(
          .create(
            .init(
              parent: id(), node: id(), mode: word(), uid: word(), gid: word(), device: word(), time: time(),
              name: name, target: value)))
        buffer.append(.link(parent: id(), node: id(), links: word(), time: time(), name: name))
        buffer.append(.unlink(parent: id(), node: id(), links: word(), time: time(), name: name))
        buffer.append(
          .rename(
            .init(
              parent: id(), newParent: id(), node: id(), other: id(), exchanges: true, time: time(),
              name: name, newName: name)))
        buffer.append(
          .setAttributes(
            .init(
              node: id(), mode: word(), uid: word(), gid: word(), sizeChanged: true, size: id(),
              accessTime: time(), modificationTime: time(), changeTime: time())))
        buffer.append(.writeInline(node: id(), offset: word(), time: time(), data: value))
        buffer.append(.written(node: id(), size: id(), modified: time(), changed: time()))
        buffer.append(.written(node: id(), size: id(), modified: time(), changed: nil))
        buffer.append(.dropName(parent: id(), node: id(), time: time(), name: name))
        buffer.append(.attribute(node: id(), removes: false, time: time(), name: name, value: value))
        buffer.append(.allocate(node: id(), mode: word(), offset: id(), length: id(), time: time()))
      }
    }
    return buffer
  }

  @Test("Records are decoded in order, and encode to the same bytes again")
  func roundTrip() {
    var random = SplitMix(seed: 50)
    for _ in 0..<100 {
      let buffer = Self.encode(&random)
      var again = RecordBuffer()
      buffer.bytes.raw { bytes in
        var reader = RecordReader(bytes)
        while let record = reader.next() { again.append(record) }
        #expect(reader.isAtEnd)
      }
      #expect(buffer.count == 11)
      #expect(again.bytes == buffer.bytes)
    }
  }

  @Test("An attribute's value may be too long for a 2-byte length", arguments: [65535, 65536])
  func longValues(count: Int) {
    var buffer = RecordBuffer()
    let value = (0..<count).map { UInt8(truncatingIfNeeded: $0 % 251) }
    Array("user.long".utf8).raw { name in
      value.raw { buffer.append(.attribute(node: 3, removes: false, time: 4, name: name, value: $0)) }
    }
    buffer.append(.written(node: 5, size: 6, modified: 7, changed: 8))
    buffer.bytes.raw { bytes in
      var reader = RecordReader(bytes)
      guard case .attribute(3, false, 4, let name, let found)? = reader.next() else {
        Issue.record("no attribute")
        return
      }
      #expect(Array(name) == Array("user.long".utf8) && Array(found) == value)
      guard case .written(5, 6, 7, 8)? = reader.next() else {
        Issue.record("no record after it")
        return
      }
      #expect(reader.isAtEnd)
    }
  }

  @Test("A truncated run of records ends where it was truncated")
  func truncated() {
    var random = SplitMix(seed: 51)
    let buffer = Self.encode(&random)
    for count in stride(from: 0, to: buffer.bytes.count, by: 7) {
      Array(buffer.bytes.prefix(count)).raw { bytes in
        var reader = RecordReader(bytes)
        while reader.next() != nil {}
        #expect(reader.offset <= count)
      }
    }
  }

  @Test("Arbitrary bytes do not trap the reader")
  func hostile() {
    var random = SplitMix(seed: 52)
    for round in 0..<2000 {
      var bytes = round % 2 == 0 ? random.bytes(300) : Self.encode(&random).bytes
      for _ in 0..<3 {
        bytes[Int.random(in: bytes.indices, using: &random)] = UInt8(truncatingIfNeeded: random.next())
      }
      if round % 2 == 0 {
        // A plausible length, so that the fields are decoded.
        bytes.replaceSubrange(
          0..<5, with: [UInt8.random(in: 8...200, using: &random), 0, 0, 0, UInt8(round / 2 % 10)])
      }
      bytes.raw { bytes in
        var reader = RecordReader(bytes)
        while reader.next() != nil {}
      }
    }
  }
}
