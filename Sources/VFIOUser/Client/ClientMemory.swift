import CMachine
import Glibc
import PCI
import Synchronization

/// The arenas a server may use, by the device's addresses.
final class ClientMemory: Sendable {
  /// A mapped arena, retained while it is mapped.
  private struct Mapping {
    let start: UInt64
    let arena: DMAArena
  }

  /// Addresses begin above 4 GiB, where a truncated address cannot fall on a mapping, and end at the limit
  /// that all servers support.
  private static let addresses: Range<UInt64> = (1 << 32)..<(1 << 47)
  /// Arenas begin on a multiple of this, with at least as much left free between them.
  private static let alignment: UInt64 = 2 << 20

  private let table = Mutex((next: addresses.lowerBound, mappings: [Mapping]()))

  /// An address for `size` bytes; no address is used twice.
  func allocate(_ size: Int) -> UInt64? {
    table.withLock { table in
      let address = table.next
      let room = Self.addresses.upperBound - address
      guard UInt64(size) < room, room - UInt64(size) >= 2 * Self.alignment else { return nil }
      table.next = (address + UInt64(size) + 2 * Self.alignment - 1) / Self.alignment * Self.alignment
      return address
    }
  }

  /// Makes an arena accessible to the server at an address.
  func insert(_ arena: DMAArena, at address: UInt64) {
    table.withLock { $0.mappings.append(Mapping(start: address, arena: arena)) }
  }

  /// All accessible arenas, by address.
  var all: [(address: UInt64, arena: DMAArena)] {
    table.withLock { $0.mappings.map { ($0.start, $0.arena) } }
  }

  /// Removes the arena that begins at an address; no access to it is running afterwards.
  func remove(_ address: UInt64) { table.withLock { $0.mappings.removeAll { $0.start == address } } }

  /// Reads bytes for the server; nil when not all of them are accessible.
  func read(_ address: UInt64, _ count: UInt64) -> [UInt8]? {
    table.withLock { table in
      guard let pointer = Self.pointer(table.mappings, address, count) else { return nil }
      return Array(UnsafeRawBufferPointer(start: pointer, count: Int(count)))
    }
  }

  /// Writes bytes from the server.
  /// - Returns: false when not all of the range is accessible.
  func write(_ address: UInt64, _ bytes: [UInt8]) -> Bool {
    table.withLock { table in
      guard let pointer = Self.pointer(table.mappings, address, UInt64(bytes.count)) else { return false }
      // A completion's phase tag is in its last word, which must be copied last.
      let (body, tail) = (bytes.count & ~7, bytes.count & 7)
      bytes.withUnsafeBytes { source in
        guard let start = source.baseAddress else { return }
        if body > 8 { memcpy(pointer, start, body - 8) }
        cm_release_fence()
        if body >= 8 { memcpy(pointer + body - 8, start + body - 8, 8) }
        if tail > 0 { memcpy(pointer + body, start + body, tail) }
      }
      return true
    }
  }

  private static func pointer(
    _ mappings: [Mapping], _ address: UInt64, _ count: UInt64
  ) -> UnsafeMutableRawPointer? {
    for mapping in mappings {
      let offset = address &- mapping.start
      let size = UInt64(mapping.arena.size)
      if offset < size, count <= size - offset { return mapping.arena.base + Int(offset) }
    }
    return nil
  }
}
