import Format
import TestSupport
import Testing

@Suite("Extended attributes")
struct AttributeTests {
  @Test("What is stored is found, in a node and in an inode")
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
        value.raw { value in
          AttributeEntries.store(
            name: name, value: value, into: block.page, at: AttributeNode.headerSize + node.length)
        }
      }
      node.length += AttributeEntries.length(name: name.count, value: value.count)
      stored.append((name, value))
    }
    #expect(node.isValid)
    for (name, value) in stored {
      #expect(name.raw { AttributeEntries(node).find($0).map { Array($0.value) } } == value)
    }
    var seen = 0
    AttributeEntries(node).forEach { _ in seen += 1 }
    #expect(seen == stored.count)
    node.length -= 1
    #expect(!node.isValid)
  }
}
