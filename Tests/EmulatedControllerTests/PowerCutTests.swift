import EmulatedController
import NVMeSpec
import TestSupport
import Testing

@Suite("Recorder and power cuts")
struct PowerCutTests {
  /// A host whose controller records, with a queue and a frame a block to write from.
  private struct Bench {
    let host: TestHost
    let queue: TestQueue
    let frame: UInt32

    init(blockSize: Int = 4096, _ change: (inout EmulatedController.Configuration) -> Void = { _ in }) throws
    {
      host = try TestHost.memory(bytes: 1 << 16, blockSize: blockSize) {
        $0.records = true
        change(&$0)
      }
      queue = host.makeQueue()
      frame = host.allocate(16)
    }

    /// Writes `count` blocks of bytes `value`.
    func write(_ block: UInt64, _ value: UInt8, count: UInt32 = 1, blockSize: Int = 4096, fua: Bool = false) {
      host.bytes(frame, Int(count) * blockSize).initializeMemory(as: UInt8.self, repeating: value)
      let entry = host.transfer(
        .write, block: block, count: count, frame: frame, blockSize: blockSize, fua: fua)
      #expect(host.status(entry, queue).isSuccess)
    }

    func flush() { #expect(host.status(SubmissionEntry(.flush, namespace: 1), queue).isSuccess) }

    /// The first byte of each of the first `count` blocks.
    func firstBytes(_ image: SparseImage, _ count: Int, blockSize: Int = 4096) -> [UInt8] {
      (0..<count).map { image.bytes(at: $0 * blockSize, count: 1)[0] }
    }
  }

  @Test("blocks read with FUA are on the medium", arguments: [IOOpcode.read, .compare, .verify])
  func forcedReads(opcode: IOOpcode) throws {
    let bench = try Bench()
    bench.write(0, 7)
    let entry = bench.host.transfer(opcode, block: 0, count: 1, frame: bench.frame, fua: true)
    #expect(bench.host.status(entry, bench.queue).isSuccess)
    try bench.host.controller.cutPower()
    #expect(bench.host.controller.contents(namespace: 1)?.bytes(at: 0, count: 1) == [7])
  }

  @Test("a power cut loses exactly the unflushed writes")
  func losesUnflushed() throws {
    let bench = try Bench()
    bench.write(0, 1)
    bench.write(1, 1)
    bench.flush()
    bench.write(0, 2)
    bench.write(2, 2)
    bench.write(3, 2, fua: true)
    try bench.host.controller.cutPower()
    #expect(!bench.host.status.ready)
    let contents = try #require(bench.host.controller.contents(namespace: 1))
    #expect(bench.firstBytes(contents, 4) == [1, 1, 0, 2])
    #expect(bench.host.controller.statistics.unsafeShutdowns == 1)
    bench.host.enable()
    let queue = bench.host.makeQueue()
    let read = bench.host.transfer(.read, block: 0, count: 4, frame: bench.frame)
    #expect(bench.host.status(read, queue).isSuccess)
    #expect(bench.host.bytes(bench.frame, 4096).allSatisfy { $0 == 1 })
  }

  @Test("without a volatile cache no completed write is lost")
  func writeThrough() throws {
    let bench = try Bench { $0.volatileWriteCache = false }
    bench.write(0, 1)
    bench.write(1, 2)
    try bench.host.controller.cutPower()
    let contents = try #require(bench.host.controller.contents(namespace: 1))
    #expect(bench.firstBytes(contents, 2) == [1, 2])
  }

  @Test("deallocation and zeroes are lost or kept like writes")
  func deallocation() throws {
    let bench = try Bench()
    bench.write(0, 1, count: 4)
    bench.flush()
    let list = bench.host.allocate()
    for (index, block) in [UInt64(0), 2].enumerated() {
      bench.host.bytes(list, 32).storeBytes(
        of: DatasetManagementRange(block: block, count: 1), toByteOffset: index * 16,
        as: DatasetManagementRange.self)
    }
    var entry = SubmissionEntry(deallocate: 2, namespace: 1)
    entry.prp1 = bench.host.arena.address(list)
    #expect(bench.host.status(entry, bench.queue).isSuccess)
    let recording = try #require(bench.host.controller.recording)
    #expect(recording.losable(namespace: 1) == 2)
    let outcomes = Set(
      (0..<64).map { seed in
        bench.firstBytes(
          recording.image(namespace: 1, after: PowerCut(survivors: .seeded(UInt64(seed)))), 4)
      })
    #expect(outcomes == [[1, 1, 1, 1], [0, 1, 1, 1], [1, 1, 0, 1], [0, 1, 0, 1]])
    bench.flush()
    let flushed = try #require(bench.host.controller.recording)
    #expect(bench.firstBytes(flushed.image(namespace: 1, after: PowerCut()), 4) == [0, 1, 0, 1])
  }

  @Test("a flush covers only the writes that had completed before it was sent")
  func flushCoversCompleted() throws {
    let bench = try Bench { $0.latency = 1000 }
    bench.host.bytes(bench.frame, 4096).initializeMemory(as: UInt8.self, repeating: 1)
    var write = bench.host.transfer(.write, block: 0, count: 1, frame: bench.frame)
    write.commandIdentifier = 1
    bench.host.place(write, bench.queue)
    bench.host.ring(bench.queue)
    var flush = SubmissionEntry(.flush, namespace: 1)
    flush.commandIdentifier = 2
    bench.host.place(flush, bench.queue)
    bench.host.ring(bench.queue)
    _ = bench.host.controller.service(now: 10_000)
    #expect(bench.host.poll(bench.queue)?.commandIdentifier == 1)
    #expect(bench.host.poll(bench.queue)?.commandIdentifier == 2)
    let recording = try #require(bench.host.controller.recording)
    #expect(recording.losable(namespace: 1) == 1)
    #expect(bench.firstBytes(recording.image(namespace: 1, after: PowerCut()), 1) == [0])
    #expect(bench.firstBytes(recording.image(namespace: 1, after: PowerCut(survivors: .all)), 1) == [1])
  }

  @Test("every state is one a device could leave", arguments: 0..<16)
  func statesAreLegal(seed: Int) throws {
    var random = SplitMix(seed: UInt64(seed))
    let blockSize = seed.isMultiple(of: 2) ? 512 : 4096
    let bench = try Bench(blockSize: blockSize)
    // For every block: the values it may hold, the last durable one first.
    var legal = [[UInt8]](repeating: [0], count: 8)
    for value in UInt8(1)...24 {
      let count = UInt32.random(in: 1...3, using: &random)
      let block = Int.random(in: 0...(8 - Int(count)), using: &random)
      let fua = Int.random(in: 0..<6, using: &random) == 0
      bench.write(UInt64(block), value, count: count, blockSize: blockSize, fua: fua)
      for index in block..<block + Int(count) {
        if fua { legal[index] = [value] } else { legal[index].append(value) }
      }
      if Int.random(in: 0..<6, using: &random) == 0 {
        bench.flush()
        for index in legal.indices { legal[index] = [legal[index].last ?? 0] }
      }
      let recording = try #require(bench.host.controller.recording)
      for draw in 0..<4 {
        let cut = PowerCut(survivors: .seeded(random.next()), tears: draw.isMultiple(of: 2))
        let image = recording.image(namespace: 1, after: cut)
        #expect(image == recording.image(namespace: 1, after: cut))
        for (index, byte) in bench.firstBytes(image, 8, blockSize: blockSize).enumerated() {
          #expect(legal[index].contains(byte))
        }
      }
      let whole = recording.image(namespace: 1, after: PowerCut(survivors: .all))
      #expect(whole == bench.host.controller.contents(namespace: 1))
    }
  }

  @Test("power can be cut at any past moment, keeping the first writes")
  func moments() throws {
    let bench = try Bench()
    var moments: [Int] = []
    for value in UInt8(1)...5 {
      bench.write(0, value)
      moments.append(try #require(bench.host.controller.recording).now)
    }
    let recording = try #require(bench.host.controller.recording)
    for (index, moment) in moments.enumerated() {
      let all = recording.image(namespace: 1, after: PowerCut(at: moment, survivors: .all))
      #expect(bench.firstBytes(all, 1) == [UInt8(index + 1)])
      let some = recording.image(namespace: 1, after: PowerCut(survivors: .first(index)))
      #expect(bench.firstBytes(some, 1) == [UInt8(index)])
    }
  }

  @Test("a torn write keeps whole logical blocks")
  func torn() throws {
    let bench = try Bench(blockSize: 512)
    bench.write(0, 7, count: 8, blockSize: 512)
    let recording = try #require(bench.host.controller.recording)
    var sawTorn = false
    for seed in UInt64(0)..<50 {
      let image = recording.image(namespace: 1, after: PowerCut(survivors: .seeded(seed), tears: true))
      let blocks = (0..<8).map { Set(image.bytes(at: $0 * 512, count: 512)) }
      #expect(blocks.allSatisfy { $0 == [0] || $0 == [7] })
      if Set(blocks).count == 2 { sawTorn = true }
    }
    #expect(sawTorn)
  }

  @Test("a crash state can be a namespace's contents")
  func restart() throws {
    let bench = try Bench()
    bench.write(5, 9)
    let recording = try #require(bench.host.controller.recording)
    let image = recording.image(namespace: 1, after: PowerCut(survivors: .all))
    let host = try TestHost.memory { $0.namespaces = [.init(.contents(image))] }
    #expect(host.controller.contents(namespace: 1) == image)
    let read = host.transfer(.read, block: 5, count: 1, frame: host.allocate())
    #expect(host.status(read, host.makeQueue()).isSuccess)
  }

  @Test("a power cut without a recording is refused")
  func noRecording() throws {
    let host = try TestHost.memory()
    #expect(throws: (any Error).self) { try host.controller.cutPower() }
    #expect(host.controller.recording == nil)
  }
}
