import Format

/// The leaves of a node table, for lookups by number after the table was walked.
///
/// The address of every leaf is kept, 32 bytes each; of the leaves themselves up to 64 MiB are cached.
final class TableLeaves {
  private static let capacity = 16_384

  private let reader: any BlockReader
  private let checksum: Checksum
  private var places: [UInt64: Entry] = [:]
  private var cache: [UInt64: UnsafeMutableRawPointer] = [:]

  init(reader: any BlockReader, checksum: Checksum) {
    self.reader = reader
    self.checksum = checksum
  }

  deinit { for memory in cache.values { memory.deallocate() } }

  /// Adds leaf `index` with its address and contents.
  func add(_ index: UInt64, at place: Entry, _ page: Page) {
    places[index] = place
    keep(index).copyMemory(from: page.base, byteCount: Page.size)
  }

  private func keep(_ index: UInt64) -> UnsafeMutableRawPointer {
    if cache.count >= Self.capacity {
      for memory in cache.values { memory.deallocate() }
      cache.removeAll(keepingCapacity: true)
    }
    let memory = UnsafeMutableRawPointer.allocate(byteCount: Page.size, alignment: 16)
    cache[index] = memory
    return memory
  }

  /// Where leaf `index` lies; nil when there is none, or none that can be read.
  func place(_ index: UInt64) -> Entry? { places[index] }

  /// The leaf `index`; nil when there is none, or none that can be read.
  func leaf(_ index: UInt64) -> Page? {
    if let memory = cache[index] { return Page(memory) }
    guard let place = places[index] else { return nil }
    let memory = keep(index)
    guard reader.read(block: place.address, count: 1, into: memory).isEmpty,
      checksum.of(Page(memory)) == place.checksum
    else {
      cache.removeValue(forKey: index)?.deallocate()
      return nil
    }
    return Page(memory)
  }

  /// The entry of `number`; nil when it is not in use or cannot be read.
  func entry(_ number: UInt64) -> Entry? {
    guard let page = leaf(number >> 8) else { return nil }
    let entry = Entry(page, at: Int(number & 0xFF) * Entry.size)
    return entry.address == 0 ? nil : entry
  }

  /// Indices of all leaves, ascending.
  var indices: [UInt64] { places.keys.sorted() }
}
