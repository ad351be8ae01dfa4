import Format
import Testing

@Suite("A page is bounds-checked")
struct PageTests {
  @Test("Integers are little-endian at any offset")
  func littleEndian() {
    let block = Block()
    block.page.store(UInt32(0x0102_0304), at: 5)
    #expect(Array(block.page.bytes(at: 5, count: 4)) == [4, 3, 2, 1])
    #expect(block.page.load(UInt32.self, at: 5) == 0x0102_0304)
  }

  @Test(
    "Accesses outside of the block return 0 and change nothing", arguments: [-1, -4096, 4093, 4096, 1 << 40])
  func outside(offset: Int) {
    let block = Block(Array(repeating: 0xAA, count: Page.size))
    let before = block.bytes
    #expect(block.page.load(UInt32.self, at: offset) == 0)
    block.page.store(UInt32.max, at: offset)
    block.page.move(from: 0, to: offset, count: 100)
    block.page.move(from: offset, to: 0, count: 100)
    #expect(block.bytes == before)
    #expect(block.page.bytes(at: offset, count: 1 << 20).count <= Page.size)
  }

  @Test("Copying and clearing stop at the end")
  func cut() {
    let block = Block()
    [UInt8](repeating: 1, count: 100).raw { block.page.copy($0, at: 4090) }
    #expect(block.bytes.suffix(7) == [0, 1, 1, 1, 1, 1, 1])
    #expect(!block.page.isZero)
    block.page.clear(at: 4090, count: 1000)
    #expect(block.page.isZero)
  }
}
