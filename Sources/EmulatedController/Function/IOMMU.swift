import CMachine
import PCI

/// An access by the controller that no mapping allowed.
public struct DMAFault: Hashable, Sendable {
  /// The first address asked for.
  public var address: UInt64
  /// The bytes asked for.
  public var length: Int
  /// Whether the controller was to write there.
  public var isWrite: Bool
}

/// Translates the addresses a controller uses, and refuses all that lie outside mapped arenas.
struct IOMMU: ~Copyable {
  /// An arena as the device sees it.
  private struct Mapping {
    var start: UInt64
    var size: UInt64
    var base: UnsafeMutableRawPointer
  }

  /// Addresses begin above 4 GiB, where a truncated address cannot fall on a mapping.
  private static let firstAddress: UInt64 = 1 << 32
  /// Unmapped space after every arena, so that an access beyond its end is refused.
  private static let gap: UInt64 = 2 << 20
  /// How many refused accesses are kept.
  private static let faultLimit = 64

  private var mappings: [Mapping] = []
  private var next = firstAddress
  /// Where the last access fell: most fall there again.
  private var last: (start: UInt64, size: UInt64, base: UnsafeMutableRawPointer?) = (0, 0, nil)

  /// Changes whenever a mapping goes, so that pointers kept elsewhere can be told to be stale.
  private(set) var generation: UInt32 = 1
  /// Whether the function may access memory at all.
  var busMaster = false { didSet { invalidate() } }

  /// The accesses refused, the latest 64 of them.
  private(set) var faults: [DMAFault] = []
  /// How many accesses were refused.
  private(set) var faultCount = 0

  /// Gives an arena an address.
  mutating func map(_ arena: DMAArena) {
    arena.iova = next
    mappings.append(Mapping(start: next, size: UInt64(arena.size), base: arena.base))
    next += (UInt64(arena.size) + Self.gap + Self.gap - 1) / Self.gap * Self.gap
    invalidate()
  }

  /// Takes an arena's address away.
  mutating func unmap(_ arena: DMAArena) {
    mappings.removeAll { $0.start == arena.iova }
    arena.iova = .max
    invalidate()
  }

  /// Where `length` bytes from `address` lie; nil, with a fault recorded, unless one arena holds them all.
  @inline(__always)
  mutating func translate(_ address: UInt64, _ length: Int, write: Bool) -> UnsafeMutableRawPointer? {
    let offset = address &- last.start
    if offset < last.size, UInt64(length) <= last.size &- offset, let base = last.base {
      return base + Int(offset)
    }
    return search(address, length, write)
  }

  /// Records an access that was refused on other grounds.
  mutating func refuse(_ address: UInt64, _ length: Int, write: Bool) {
    faultCount += 1
    if faults.count == Self.faultLimit { faults.removeFirst() }
    faults.append(DMAFault(address: address, length: length, isWrite: write))
  }

  @inline(never)
  private mutating func search(_ address: UInt64, _ length: Int, _ write: Bool) -> UnsafeMutableRawPointer? {
    if busMaster {
      for mapping in mappings {
        let offset = address &- mapping.start
        if offset < mapping.size, UInt64(length) <= mapping.size - offset {
          last = (mapping.start, mapping.size, mapping.base)
          return mapping.base + Int(offset)
        }
      }
    }
    refuse(address, length, write: write)
    return nil
  }

  private mutating func invalidate() {
    last = (0, 0, nil)
    generation &+= 1
  }
}
