import Format
import TestSupport
import Testing

@Suite("Extended attributes")
struct AttributeTests {
  @Test("Stored attributes are found, in a node and in an inode")
  func roundTrip() {
    var random = SplitMix(seed: 30)
    let block = Block()
    let node = AttributeNode(block.page)
    node.initialize(owner: 4)
    var stored: [(name: [UInt8], value: [UInt8])] = []
    for index in 0..<20 {
      let name = Array("user.n\(index)".utf8)
      let value = random.bytes(Int.random(in: 0...150, using: &random))
      name.raw { name in
        value.raw { AttributeEntries.insert(name: name, .inline, content: $0, into: node) }
      }
      stored.append((name, value))
    }
    #expect(node.isValid)
    for (name, value) in stored {
      #expect(name.raw { AttributeEntries(node).find($0).map { Array($0.content) } } == value)
    }
    var seen = 0
    AttributeEntries(node).forEach { _ in seen += 1 }
    #expect(seen == stored.count)
    node.length -= 1
    #expect(!node.isValid)
  }

  /// An attribute whose value of `count` bytes lies in value nodes 7, 8, ….
  private static func apart(_ count: Int, in block: Block) -> AttributeNode {
    let node = AttributeNode(block.page)
    node.initialize(owner: 4)
    let nodes = (0..<AttributeValueNode.count(of: count)).map { UInt64(7 + $0) }
    Array("user.long".utf8).raw { name in
      AttributeEntries.reference(value: count, nodes: nodes).raw {
        AttributeEntries.insert(name: name, .apart, content: $0, into: node)
      }
    }
    return node
  }

  @Test("A value reference names its value nodes", arguments: [1, 4064, 4065, 65536])
  func valuesApart(count: Int) throws {
    let block = Block()
    let node = Self.apart(count, in: block)
    #expect(node.isValid)
    let found = try #require(Array("user.long".utf8).raw { AttributeEntries(node).find($0) })
    #expect(found.valueCount == count)
    #expect(found.valueNodes == (0..<(count + 4063) / 4064).map { UInt64(7 + $0) })
    AttributeEntries.remove(found, from: node)
    #expect(node.length == 0 && node.isValid)
  }

  @Test("An invalid value reference is no attribute")
  func impossibleReferences() {
    for (offset, value) in [(0, UInt32(4065)), (0, 0), (0, 65537), (0, .max)] {
      let block = Block()
      let node = Self.apart(4064, in: block)
      block.page.store(value, at: AttributeNode.headerSize + 4 + 9 + offset)
      #expect(!node.isValid)
    }
    for number in [UInt64(0), .max, Entry.maximumAddress + 1] {
      let block = Block()
      let node = Self.apart(4064, in: block)
      block.page.store(number, at: AttributeNode.headerSize + 4 + 9 + 4)
      #expect(!node.isValid)
    }
    let block = Block()
    let node = Self.apart(4064, in: block)
    block.page.store(UInt8(2), at: AttributeNode.headerSize + 1)
    #expect(!node.isValid)
  }
}
