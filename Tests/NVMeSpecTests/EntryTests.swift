import NVMeSpec
import TestSupport
import Testing

@Suite("Queue entries")
struct EntryTests {
  @Test("a submission entry has the specification's layout in memory")
  func submissionLayout() {
    #expect(MemoryLayout<SubmissionEntry>.size == SubmissionEntry.size)
    #expect(MemoryLayout<SubmissionEntry>.stride == SubmissionEntry.size)
    #expect(MemoryLayout<SubmissionEntry>.offset(of: \.namespace) == 4)
    #expect(MemoryLayout<SubmissionEntry>.offset(of: \.metadata) == 16)
    #expect(MemoryLayout<SubmissionEntry>.offset(of: \.prp1) == 24)
    #expect(MemoryLayout<SubmissionEntry>.offset(of: \.prp2) == 32)
    #expect(MemoryLayout<SubmissionEntry>.offset(of: \.cdw10And11) == 40)
    #expect(MemoryLayout<SubmissionEntry>.offset(of: \.cdw15) == 60)
  }

  @Test("a completion entry has the specification's layout in memory")
  func completionLayout() {
    #expect(MemoryLayout<CompletionEntry>.size == CompletionEntry.size)
    #expect(MemoryLayout<CompletionEntry>.offset(of: \.submissionHead) == 8)
    #expect(MemoryLayout<CompletionEntry>.offset(of: \.commandIdentifier) == 12)
    #expect(MemoryLayout<CompletionEntry>.offset(of: \.statusAndPhase) == CompletionEntry.phaseOffset)
  }

  @Test("fields of command word 0 do not overlap", arguments: 0..<50)
  func commandWord(seed: Int) {
    var generator = SplitMix(seed: UInt64(seed))
    var entry = SubmissionEntry()
    for _ in 0..<20 {
      let opcode = UInt8.random(in: .min ... .max, using: &generator)
      let fused = UInt8.random(in: 0...3, using: &generator)
      let kind = DataPointerKind(rawValue: UInt8.random(in: 0...3, using: &generator))
      let identifier = UInt16.random(in: .min ... .max, using: &generator)
      entry.commandIdentifier = identifier
      entry.dataPointer = kind
      entry.opcode = opcode
      entry.fused = fused
      #expect(entry.opcode == opcode && entry.fused == fused)
      #expect(entry.dataPointer == kind && entry.commandIdentifier == identifier)
    }
  }

  @Test("a block range keeps its start, its count and its flags", arguments: 0..<50)
  func blockRange(seed: Int) {
    var generator = SplitMix(seed: UInt64(seed))
    let block = UInt64.random(in: .min ... .max, using: &generator)
    let count = UInt32.random(in: 1...65_536, using: &generator)
    var entry = SubmissionEntry(.write, namespace: 3, block: block, count: count)
    entry.forceUnitAccess = true
    entry.deallocate = true
    #expect(entry.startingBlock == block && entry.blockCount == count)
    #expect(entry.forceUnitAccess && entry.deallocate && !entry.limitedRetry)
    #expect(entry.cdw12 & 0xffff == count - 1)
  }

  @Test("phase and status share a word")
  func phaseAndStatus() {
    var entry = CompletionEntry()
    let status = Status(.lbaOutOfRange, doNotRetry: true, retryDelay: 2)
    entry.status = status
    entry.phase = true
    #expect(entry.status == status && entry.phase)
    entry.phase = false
    #expect(entry.status == status && !entry.phase)
  }

  @Test("a single SGL descriptor sets PSDT")
  func sgl() {
    var entry = SubmissionEntry(.read, namespace: 1)
    entry.setSGL(address: 0x1234_5678_9000, length: 12_288)
    #expect(entry.dataPointer == .sgl)
    #expect(entry.sgl == .dataBlock(0x1234_5678_9000, 12_288))
    #expect(entry.sgl.type == .dataBlock && entry.sgl.length == 12_288)
  }

  @Test("log lengths and offsets read back from their command words")
  func logWords() {
    let entry = SubmissionEntry(getLogPage: .error, length: 1 << 20, offset: 0x1_0000_0040)
    #expect(entry.logLength == 1 << 20 && entry.logOffset == 0x1_0000_0040)
    #expect(entry.logPage == .error)
  }

  @Test("a dataset management command counts ranges from 1 to 256")
  func ranges() {
    for count in [1, 2, 255, 256] {
      let entry = SubmissionEntry(deallocate: count, namespace: 1)
      #expect(entry.rangeCount == count && entry.deallocateRanges)
    }
    #expect(MemoryLayout<DatasetManagementRange>.size == DatasetManagementRange.size)
    #expect(MemoryLayout<DatasetManagementRange>.offset(of: \.startingBlock) == 8)
  }
}
