import Format
import TestSupport
import Testing

@Suite("Inode")
struct InodeTests {
  private func file(_ block: Block) -> Inode {
    let inode = Inode.make(in: block.page, id: NodeID(number: 7, generation: 3), mode: 0o100644)
    return inode
  }

  @Test("A new inode is valid under its number only")
  func fresh() {
    let block = Block()
    let inode = file(block)
    #expect(inode.isValid(number: 7))
    #expect(!inode.isValid(number: 8))
    #expect(inode.id == NodeID(number: 7, generation: 3))
    #expect(inode.isRegular && !inode.isDirectory && !inode.isSymlink)
  }

  @Test("The rules of every layout are checked")
  func layouts() {
    let block = Block()
    let inode = file(block)
    inode.layout = .direct
    #expect(!inode.isValid(number: 7))
    inode.inlineLength = Inode.directEntries * Entry.size
    #expect(inode.isValid(number: 7))
    inode.layout = .tree
    #expect(!inode.isValid(number: 7))
    inode.inlineLength = 0
    inode.root = 9
    for height in 0...6 {
      inode.height = height
      #expect(inode.isValid(number: 7) == (1...4).contains(height))
    }
    inode.height = 0
    inode.layout = .node
    #expect(!inode.isValid(number: 7))
    inode.mode = 0o120777
    #expect(inode.isValid(number: 7))
  }

  @Test("An inline file's size is its inline length")
  func inlineSize() {
    let block = Block()
    let inode = file(block)
    inode.inlineLength = 100
    #expect(!inode.isValid(number: 7))
    inode.size = 100
    #expect(inode.isValid(number: 7))
    inode.attributeLength = Inode.inlineCapacity - 99
    #expect(!inode.isValid(number: 7))
  }

  @Test("Fields do not overlap")
  func fields() {
    let block = Block()
    let inode = file(block)
    inode.links = 0x1111_1111
    inode.uid = 0x2222_2222
    inode.gid = 0x3333_3333
    inode.device = 0x4444_4444
    inode.size = 0x5555_5555_5555_5555
    inode.blocks = 0x6666_6666_6666_6666
    inode.accessTime = -1
    inode.modificationTime = -2
    inode.changeTime = -3
    inode.birthTime = -4
    inode.parent = 0x7777_7777_7777_7777
    inode.root = 0x0888_8888_8888_8888
    inode.attributeNode = 0x9999
    inode.entryCount = 0xAAAA
    inode.attributeLength = 40
    inode.height = 2
    #expect(inode.links == 0x1111_1111 && inode.uid == 0x2222_2222 && inode.gid == 0x3333_3333)
    #expect(inode.device == 0x4444_4444 && inode.size == 0x5555_5555_5555_5555)
    #expect(inode.blocks == 0x6666_6666_6666_6666 && inode.accessTime == -1 && inode.modificationTime == -2)
    #expect(inode.changeTime == -3 && inode.birthTime == -4 && inode.parent == 0x7777_7777_7777_7777)
    #expect(
      inode.root == 0x0888_8888_8888_8888 && inode.attributeNode == 0x9999 && inode.entryCount == 0xAAAA)
    #expect(inode.attributeLength == 40 && inode.height == 2 && inode.mode == 0o100644 && inode.number == 7)
  }
}
