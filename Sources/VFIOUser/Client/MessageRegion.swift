import Glibc
import PCI

/// A region in which each access is a message.
///
/// A server that is gone reads as all ones, as a device that was pulled out. Stores to doorbells are sent
/// without waiting for a reply; every other store has reached the device when it returns.
final class MessageRegion: RegisterAccess, ValueAccess {
  private let link: ServerLink
  private let index: UInt32
  /// Stores from this offset on are not waited for.
  private let posted: Int

  init(_ link: ServerLink, _ index: UInt32, postedFrom offset: Int = .max) {
    self.link = link
    self.index = index
    posted = offset
  }

  func load32(at offset: Int) -> UInt32 { load(at: offset) }
  func load64(at offset: Int) -> UInt64 { load(at: offset) }
  func store32(_ value: UInt32, at offset: Int) { store(value, at: offset) }
  func store64(_ value: UInt64, at offset: Int) { store(value, at: offset) }

  /// The value at a byte offset of the region; all ones when the server does not return it.
  func load<Value: FixedWidthInteger>(at offset: Int) -> Value {
    let size = MemoryLayout<Value>.size
    let request = RegionAccessMessage(
      offset: UInt64(clamping: offset), region: index, count: UInt32(truncatingIfNeeded: size))
    guard let reply = try? link.connection.request(.regionRead, request.encoded),
      let access = RegionAccessMessage(decoding: reply.payload), access.data.count == size
    else { return ~0 }
    return access.data.withUnsafeBytes { Value(littleEndian: $0.loadUnaligned(as: Value.self)) }
  }

  /// Stores a value at a byte offset of the region.
  func store<Value: FixedWidthInteger>(_ value: Value, at offset: Int) {
    let data = withUnsafeBytes(of: value.littleEndian) { Array($0) }
    let request = RegionAccessMessage(
      offset: UInt64(clamping: offset), region: index, count: UInt32(truncatingIfNeeded: data.count),
      data: data)
    if offset >= posted {
      link.connection.post(.regionWrite, request.encoded)
    } else {
      _ = try? link.connection.request(.regionWrite, request.encoded)
    }
  }
}
