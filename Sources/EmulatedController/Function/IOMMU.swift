import CMachine
import PCI

/// An access by the controller that the IOMMU has refused.
public struct DMAFault: Hashable, Sendable {
  /// The first address asked for.
  public var address: UInt64
  /// The bytes asked for.
  public var length: Int
  /// Whether the controller was to write there.
  public var isWrite: Bool
}

/// Translates the addresses a controller uses, and refuses all that lie outside mapped memory.
struct IOMMU: ~Copyable {
  /// A range of host memory in the device's address space.
  private struct Mapping {
    var start: UInt64
    var size: UInt64
    /// The memory itself, or where its copies lie when it is remote.
    var base: UnsafeMutableRawPointer
    var access: HostAccess
    var isRemote: Bool

    /// Whether all of `length` bytes from `address` may be accessed.
    func allows(_ address: UInt64, _ length: Int, write: Bool) -> Bool {
      let offset = address &- start
      return offset < size && UInt64(length) <= size - offset && access.contains(write ? .write : .read)
    }
  }

  /// Addresses begin above 4 GiB, where a truncated address cannot fall on a mapping.
  private static let firstAddress: UInt64 = 1 << 32
  /// Unmapped space after every arena, so that an access beyond its end is refused.
  private static let gap: UInt64 = 2 << 20
  /// How many refused accesses are kept.
  private static let faultLimit = 64

  private var mappings: [Mapping] = []
  private var next = firstAddress
  /// The mapping of the last access, which most accesses hit again. Never a remote one, and always one that
  /// allows both reads and writes.
  private var last: (start: UInt64, size: UInt64, base: UnsafeMutableRawPointer?) = (0, 0, nil)
  /// Remote memory, where there is any.
  var remote = RemoteAccess()

  /// Changes whenever a mapping is removed, so that stale pointers kept elsewhere are recognized.
  private(set) var generation: UInt32 = 1
  /// Whether the function may access memory at all.
  var busMaster = false { didSet { invalidate() } }

  /// How many arenas are mapped.
  var mappedArenas: Int { mappings.count }

  /// The accesses refused, the latest 64 of them.
  private(set) var faults: [DMAFault] = []
  /// How many accesses were refused.
  private(set) var faultCount = 0

  /// Gives an arena an address.
  mutating func map(_ arena: DMAArena) {
    arena.iova = next
    let size = UInt64(arena.size)
    mappings.append(
      Mapping(start: next, size: size, base: arena.base, access: [.read, .write], isRemote: false))
    next += (size + Self.gap + Self.gap - 1) / Self.gap * Self.gap
    invalidate()
  }

  /// Removes the mapping of an arena.
  mutating func unmap(_ arena: DMAArena) {
    mappings.removeAll { $0.start == arena.iova }
    arena.iova = .max
    invalidate()
  }

  /// Makes memory reachable at an address the host has chosen.
  /// - Returns: false when it overlaps what is mapped.
  mutating func map(
    _ base: UnsafeMutableRawPointer, _ size: UInt64, at address: UInt64, _ access: HostAccess, isRemote: Bool
  ) -> Bool {
    guard size > 0, address <= .max - size,
      !mappings.contains(where: { $0.start < address + size && address < $0.start + $0.size })
    else { return false }
    mappings.append(Mapping(start: address, size: size, base: base, access: access, isRemote: isRemote))
    remote.isNeeded = remote.isNeeded || isRemote
    invalidate()
    return true
  }

  /// Removes the mapping that begins at an address.
  mutating func unmap(at address: UInt64) {
    mappings.removeAll { $0.start == address }
    remote.isNeeded = mappings.contains(where: \.isRemote)
    invalidate()
  }

  /// Removes every mapping.
  mutating func unmapAll() {
    mappings = []
    remote.isNeeded = false
    invalidate()
  }

  /// Where `length` bytes from `address` lie; nil, with a fault recorded, unless one mapping holds them all.
  ///
  /// For a read of remote memory the bytes are fetched first; `remote` delivers what is written there.
  @inline(__always)
  mutating func translate(_ address: UInt64, _ length: Int, write: Bool) -> UnsafeMutableRawPointer? {
    let offset = address &- last.start
    if offset < last.size, UInt64(length) <= last.size &- offset, let base = last.base {
      return base + Int(offset)
    }
    return search(address, length, write)
  }

  /// Where a queue of `length` bytes lies, as `translate`, but without fetching or delivering remote memory.
  @inline(never)
  mutating func locate(_ address: UInt64, _ length: Int, write: Bool) -> UnsafeMutableRawPointer? {
    guard let mapping = mapping(address, length, write) else {
      refuse(address, length, write: write)
      return nil
    }
    return mapping.base + Int(address - mapping.start)
  }

  /// Brings the copy of `length` bytes of a queue up to date where they are remote.
  /// - Returns: false when the host did not give them.
  mutating func fetch(_ address: UInt64, _ length: Int) -> Bool {
    guard let mapping = mapping(address, length, false) else { return false }
    return !mapping.isRemote
      || remote.fetch(address, mapping.base + Int(address - mapping.start), length)
  }

  /// Sends the copy of `length` bytes of a queue to the host where they are remote.
  mutating func deliver(_ address: UInt64, _ length: Int) {
    guard let mapping = mapping(address, length, true), mapping.isRemote else { return }
    remote.recordWrite(address, mapping.base + Int(address - mapping.start), length)
    remote.deliver()
  }

  /// Records an access that was refused on other grounds.
  mutating func refuse(_ address: UInt64, _ length: Int, write: Bool) {
    faultCount += 1
    if faults.count == Self.faultLimit { faults.removeFirst() }
    faults.append(DMAFault(address: address, length: length, isWrite: write))
  }

  @inline(never)
  private mutating func search(_ address: UInt64, _ length: Int, _ write: Bool) -> UnsafeMutableRawPointer? {
    guard let mapping = mapping(address, length, write) else {
      refuse(address, length, write: write)
      return nil
    }
    let pointer = mapping.base + Int(address - mapping.start)
    if mapping.isRemote {
      if write {
        remote.recordWrite(address, pointer, length)
      } else if !remote.fetch(address, pointer, length) {
        return nil
      }
    } else if mapping.access == [.read, .write] {
      last = (mapping.start, mapping.size, mapping.base)
    }
    return pointer
  }

  private func mapping(_ address: UInt64, _ length: Int, _ write: Bool) -> Mapping? {
    busMaster ? mappings.first { $0.allows(address, length, write: write) } : nil
  }

  /// Invalidates pointers kept elsewhere, which are then looked up again.
  mutating func forgetPlaces() { invalidate() }

  private mutating func invalidate() {
    last = (0, 0, nil)
    generation &+= 1
  }
}
