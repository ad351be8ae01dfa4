import Format
import TestSupport
import Testing

@Suite("Entries of tables and maps")
struct EntryTests {
  @Test("Entries keep their 48, 16, 32 and 32 bits")
  func entries() {
    var random = SplitMix(seed: 10)
    let block = Block()
    let entries = (0..<Entry.perBlock).map { _ in
      Entry(
        address: random.next() & Entry.maximumAddress, flags: UInt16(truncatingIfNeeded: random.next()),
        checksum: UInt32(truncatingIfNeeded: random.next()), stamp: UInt32(truncatingIfNeeded: random.next()))
    }
    for (index, entry) in entries.enumerated() { entry.store(block.page, at: index * Entry.size) }
    for (index, entry) in entries.enumerated() {
      #expect(Entry(block.page, at: index * Entry.size) == entry)
    }
  }

  @Test("Only an entry without an address and not reserved is a hole")
  func holes() {
    #expect(Entry().isHole)
    #expect(!Entry(address: 1).isHole)
    #expect(!Entry(flags: Entry.reserved).isHole)
    #expect(Entry(flags: Entry.reserved).isReserved)
  }

  @Test("Usage entries keep their fields; an unknown state counts as used")
  func usage() {
    let block = Block()
    for index in 0..<Int(Geometry.usagePerBlock) {
      let entry = UsageEntry(
        live: UInt32(index), state: index % 2 == 0 ? .free : .used, age: UInt64(index) << 40)
      entry.store(block.page, index: index)
      #expect(UsageEntry(block.page, index: index) == entry)
    }
    block.page.store(UInt8(7), at: 4)
    #expect(UsageEntry(block.page, index: 0).state == .used)
  }

  @Test("A node id is 40 bits of number and 24 of generation")
  func nodeIDs() {
    let id = NodeID(number: NodeID.maximumNumber, generation: NodeID.maximumGeneration)
    #expect(id.raw == .max)
    #expect(NodeID(number: 5, generation: 3).number == 5)
    #expect(NodeID(number: 5, generation: 3).generation == 3)
    #expect(NodeID(number: .max, generation: .max).raw == .max)
  }
}
