import Block
import BlockProtocol
import FileProtocol
import PCI
import Testing

@testable import Reactor

@Suite struct SlotLayoutTests {
  @Test(arguments: [1, 2, 64], [1, 128 << 10, 1 << 20, (1 << 20) + 1])
  func slotsDoNotOverlapAndPayloadsArePageAligned(count: Int, transfer: Int) {
    let layout = SlotLayout(count: count, maximumTransfer: transfer)
    let frame = DMAArena.frameSize
    #expect(layout.maximumTransfer >= transfer)
    for slot in 0..<layout.count {
      let start = layout.bufferOffset(slot)
      #expect(start + SlotLayout.headerLead == Int(layout.firstDataFrame(slot)) * frame)
      #expect(start / frame == slot * layout.framesPerSlot)
      #expect(start + layout.bufferSize <= (slot + 1) * layout.framesPerSlot * frame)
    }
    // libfuse needs room for the largest write and a page of headers.
    #expect(layout.bufferSize >= layout.maximumTransfer + frame)
    #expect(layout.frameCount == layout.count * layout.framesPerSlot)
  }

  @Test func invalidSizesAreRaised() {
    let layout = SlotLayout(count: -3, maximumTransfer: -1)
    #expect(layout.count == 1)
    #expect(layout.maximumTransfer >= 128 << 10)
  }
}

@Suite struct SlotPoolTests {
  @Test func everySlotIsTakenOnceAndTheLastFreedComesFirst() {
    var pool = SlotPool(count: 5)
    var taken: Set<Int> = []
    while let slot = pool.take() { #expect(taken.insert(slot).inserted) }
    #expect(taken == Set(0..<5))
    pool.give(3)
    pool.give(1)
    #expect(pool.take() == 1)
    #expect(pool.take() == 3)
    #expect(pool.take() == nil)
  }
}

@Suite struct CommandBacklogTests {
  @Test func itIsAQueueThatGrows() {
    var backlog = CommandBacklog(capacity: 2)
    var random = SystemRandomNumberGenerator()
    var model: [UInt64] = []
    var next: UInt64 = 0
    for _ in 0..<5000 {
      if model.isEmpty || UInt8.random(in: 0...9, using: &random) < 6 {
        backlog.append(BlockCommand(.write, block: next, tag: next))
        model.append(next)
        next += 1
      } else {
        #expect(backlog.first.tag == model.removeFirst())
        backlog.removeFirst()
      }
      #expect(backlog.count == model.count)
    }
  }
}
