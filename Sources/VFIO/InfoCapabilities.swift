import CMachine

/// The chain of capabilities that follows a VFIO info structure: each has an id and the next one's offset.
struct InfoCapabilities: Sequence, IteratorProtocol {
  private let bytes: UnsafeRawBufferPointer
  private var offset: Int
  /// How many more capabilities are possible: a chain longer than its bytes has a loop.
  private var left: Int

  /// The chain in `bytes`, the whole structure, that begins at `offset`; 0 for none.
  init(_ bytes: UnsafeRawBufferPointer, first offset: UInt32) {
    self.bytes = bytes
    self.offset = Int(offset)
    left = bytes.count / MemoryLayout<vfio_info_cap_header>.size
  }

  /// The next capability: its id, and its bytes, header included, to the end of the structure.
  mutating func next() -> (id: UInt16, bytes: UnsafeRawBufferPointer)? {
    let headerSize = MemoryLayout<vfio_info_cap_header>.size
    guard offset > 0, left > 0, offset <= bytes.count - headerSize else { return nil }
    let header = bytes.loadUnaligned(fromByteOffset: offset, as: vfio_info_cap_header.self)
    let capability = UnsafeRawBufferPointer(rebasing: bytes[offset...])
    offset = Int(header.next)
    left -= 1
    return (header.id, capability)
  }
}
