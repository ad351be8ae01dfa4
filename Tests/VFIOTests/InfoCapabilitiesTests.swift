import CMachine
import Testing

@testable import VFIO

@Suite struct InfoCapabilitiesTests {
  /// A structure of `size` bytes with headers (id, next offset) at offsets.
  private func bytes(_ size: Int, _ headers: [Int: (id: UInt16, next: UInt32)]) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: size)
    bytes.withUnsafeMutableBytes { raw in
      for (offset, header) in headers {
        let value = vfio_info_cap_header(id: header.id, version: 1, next: header.next)
        raw.storeBytes(of: value, toByteOffset: offset, as: vfio_info_cap_header.self)
      }
    }
    return bytes
  }

  private func ids(_ bytes: [UInt8], first: UInt32) -> [UInt16] {
    bytes.withUnsafeBytes { InfoCapabilities($0, first: first).map(\.id) }
  }

  @Test func followsTheChain() {
    let chain = bytes(64, [24: (1, 48), 48: (3, 0)])
    #expect(ids(chain, first: 24) == [1, 3])
    #expect(ids(chain, first: 0) == [])
  }

  @Test func stopsAtTheEndOfTheStructure() {
    #expect(ids(bytes(64, [24: (1, 60)]), first: 24) == [1])
    #expect(ids(bytes(64, [:]), first: .max) == [])
  }

  @Test func endsWhereTheChainIsALoop() {
    #expect(ids(bytes(64, [24: (1, 24)]), first: 24).count <= 8)
  }

  @Test func readsAddressRanges() {
    var text = bytes(16 + 32, [0: (1, 0)])
    text.withUnsafeMutableBytes { raw in
      raw.storeBytes(of: 2, toByteOffset: 8, as: UInt32.self)
      for (index, value) in [0, 0xfff, 0x2000, 0x1000].enumerated() {
        raw.storeBytes(of: UInt64(value), toByteOffset: 16 + index * 8, as: UInt64.self)
      }
    }
    // The second range ends before it begins.
    #expect(text.withUnsafeBytes { Container.addressRanges($0) } == [0...0xfff])
  }

  @Test func readsNoMoreRangesThanThereAreBytes() {
    var text = bytes(16 + 16, [0: (1, 0)])
    text.withUnsafeMutableBytes { $0.storeBytes(of: UInt32.max, toByteOffset: 8, as: UInt32.self) }
    #expect(text.withUnsafeBytes { Container.addressRanges($0) } == [0...0])
    #expect(text[..<8].withUnsafeBytes { Container.addressRanges($0) } == [])
  }
}
