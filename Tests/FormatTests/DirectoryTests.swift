import Format
import TestSupport
import Testing

@Suite("Directories")
struct DirectoryTests {
  private let hash = DirectoryHash(key: (3, 4))

  @Test("A leaf behaves as a sorted list, whatever is inserted and removed")
  func model() {
    var random = SplitMix(seed: 20)
    let block = Block()
    let leaf = DirectoryLeaf(block.page)
    leaf.initialize(owner: 5)
    var model: [UInt64: (name: [UInt8], node: NodeID)] = [:]
    for step in 0..<2000 {
      if Bool.random(using: &random) || model.isEmpty {
        let name = random.bytes(Int.random(in: 1...40, using: &random)).map { $0 % 4 + 97 }
        let entries = DirectoryEntries(leaf)
        let value = name.raw { hash.of($0) }
        guard entries.fits(name.count), name.raw({ entries.find($0, hash: value) }) == nil,
          let key = entries.freeKey(hash: value)
        else { continue }
        let node = NodeID(number: UInt64(step), generation: 1)
        leaf.length = name.raw { entries.insert(key: key, node: node, type: 8, name: $0) }
        model[key] = (name, node)
      } else if let victim = model.randomElement(using: &random) {
        let entries = DirectoryEntries(leaf)
        let found = victim.value.name.raw { entries.find($0, hash: victim.key >> DirectoryHash.ordinalBits) }
        #expect(found?.key == victim.key)
        if let found { leaf.length = entries.remove(found) }
        model[victim.key] = nil
      }
      #expect(leaf.isValid)
      #expect(names(DirectoryEntries(leaf)) == model.sorted { $0.key < $1.key }.map(\.value.name))
    }
  }

  private func names(_ entries: DirectoryEntries) -> [[UInt8]] {
    var names: [[UInt8]] = []
    var offset = entries.start
    while let record = entries.record(at: offset) {
      names.append(Array(record.name))
      offset += record.length
    }
    return names
  }

  @Test("Names of one hash get ordinals, the lowest free one first, and are distinguished")
  func collisions() {
    let block = Block()
    let leaf = DirectoryLeaf(block.page)
    leaf.initialize(owner: 5)
    let first: UInt64 = 77 << DirectoryHash.ordinalBits
    func insert(_ letter: UInt8) -> UInt64? {
      let entries = DirectoryEntries(leaf)
      guard let key = entries.freeKey(hash: 77) else { return nil }
      leaf.length = [letter].raw {
        entries.insert(key: key, node: NodeID(number: UInt64(letter), generation: 0), type: 8, name: $0)
      }
      return key
    }
    #expect((97..<107).map { insert($0) } == (0..<10).map { first + $0 })
    let entries = DirectoryEntries(leaf)
    if let gone = [UInt8(100)].raw({ entries.find($0, hash: 77) }) { leaf.length = entries.remove(gone) }
    #expect(insert(120) == first + 3)
    #expect([UInt8(120)].raw { DirectoryEntries(leaf).find($0, hash: 77)?.node.number } == 120)
  }

  @Test("A leaf covers the largest aligned range of slots that refer to it")
  func ranges() {
    let block = Block()
    let index = DirectoryIndex(block.page)
    index.initialize(owner: 5, depth: 0)
    for slot in 0..<256 { index[slot] = slot < 128 ? 1 : slot < 192 ? 2 : slot == 200 ? 4 : 3 }
    #expect(index.range(of: 5) == 0..<128)
    #expect(index.range(of: 130) == 128..<192)
    #expect(index.range(of: 200) == 200..<201)
    #expect(index.range(of: 201) == 201..<202)
    #expect(index.range(of: 255) == 224..<256)
    #expect(index.isValid)
    index.depth = DirectoryIndex.maximumDepth
    #expect(!index.isValid)
  }

  @Test("The slots of all depths together are the hash")
  func slots() {
    let value: UInt64 = 0x0123_4567_89AB
    let slots = (0..<DirectoryIndex.maximumDepth).map { DirectoryHash.slot(value, depth: $0) }
    #expect(slots == [0x01, 0x23, 0x45, 0x67, 0x89, 0xAB])
  }
}
