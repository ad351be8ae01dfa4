import EmulatedController
import NVMeSpec
import Testing

@Suite("Fault rules")
struct FaultTests {
  @Test("a rule injects any status, on the selected command, as often as its limit")
  func status() throws {
    let host = try TestHost.memory()
    let queue = host.makeQueue()
    let read = host.transfer(.read, block: 0, count: 1, frame: host.allocate())
    let status = Status(.commandInterrupted, retryDelay: 2)
    host.controller.faultRules = [FaultRule(io: .read, .status(status), skipping: 1, limit: 2)]
    let seen = (0..<5).map { _ in host.status(read, queue) }
    #expect(seen == [.success, status, status, .success, .success])
    #expect(host.status(SubmissionEntry(.flush, namespace: 1), queue).isSuccess)
  }

  @Test("a rule for a range acts exactly on the commands that touch it")
  func range() throws {
    let host = try TestHost.memory()
    let queue = host.makeQueue()
    let frame = host.allocate(8)
    host.controller.faultRules = [
      FaultRule(io: nil, blocks: 10..<12, .status(Status(.unrecoveredReadError)))
    ]
    for (block, count, fails) in [(9, 1, false), (9, 2, true), (11, 4, true), (12, 1, false), (8, 8, true)] {
      let entry = host.transfer(.read, block: UInt64(block), count: UInt32(count), frame: frame)
      #expect(host.status(entry, queue).isSuccess == !fails)
    }
    #expect(host.status(SubmissionEntry(identify: .controller)).code == .dataTransferError)
  }

  @Test("a failed write does not change the medium")
  func failedWrite() throws {
    let host = try TestHost.memory()
    let queue = host.makeQueue()
    let frame = host.allocate()
    host.bytes(frame, 4096).initializeMemory(as: UInt8.self, repeating: 1)
    host.controller.faultRules = [FaultRule(io: .write, .status(Status(.writeFault)))]
    #expect(host.status(host.transfer(.write, block: 0, count: 1, frame: frame), queue).code == .writeFault)
    #expect(host.status(host.transfer(.read, block: 0, count: 1, frame: frame), queue).isSuccess)
    #expect(host.bytes(frame, 4096).allSatisfy { $0 == 0 })
  }

  @Test("completions are lost, duplicated, or have another identifier")
  func completions() throws {
    let host = try TestHost.memory()
    let queue = host.makeQueue()
    func identifiers(_ action: FaultAction) -> [UInt16] {
      host.controller.faultRules = [FaultRule(io: nil, action, limit: 1)]
      var entry = SubmissionEntry(.flush, namespace: 1)
      entry.commandIdentifier = 77
      host.place(entry, queue)
      host.ring(queue)
      var seen: [UInt16] = []
      while let completion = host.poll(queue) { seen.append(completion.commandIdentifier) }
      return seen
    }
    #expect(identifiers(.loseCompletion) == [])
    #expect(identifiers(.duplicateCompletion) == [77, 77])
    #expect(identifiers(.completeAs(identifier: 0xbeef)) == [0xbeef])
    #expect(identifiers(.none) == [77])
  }

  @Test("a refused DMA access is a transfer error and a recorded fault")
  func dma() throws {
    let host = try TestHost.memory()
    let queue = host.makeQueue()
    host.controller.faultRules = [FaultRule(io: .write, .refuseDMA, limit: 1)]
    let entry = host.transfer(.write, block: 0, count: 1, frame: host.allocate())
    #expect(host.status(entry, queue).code == .dataTransferError)
    #expect(host.controller.dmaFaultCount == 1)
    #expect(host.status(entry, queue).isSuccess)
  }

  @Test("a delayed command waits for its due time, and Abort ends it")
  func delay() throws {
    let host = try TestHost.memory()
    let queue = host.makeQueue()
    host.controller.faultRules = [FaultRule(io: .flush, .delay(1000))]
    _ = host.controller.service(now: 5000)
    var entry = SubmissionEntry(.flush, namespace: 1)
    for identifier in [UInt16(1), 2, 3] {
      entry.commandIdentifier = identifier
      host.place(entry, queue)
    }
    host.ring(queue)
    #expect(host.poll(queue) == nil)
    #expect(host.run(SubmissionEntry(abort: 2, queue: 1))?.result == 0)
    #expect(host.poll(queue)?.status == Status(.abortRequested))
    #expect(host.run(SubmissionEntry(abort: 9, queue: 1))?.result == 1)
    #expect(host.controller.service(now: 5999) == 6000)
    #expect(host.poll(queue) == nil)
    #expect(host.controller.service(now: 6000) == .max)
    #expect(host.poll(queue)?.commandIdentifier == 1)
    #expect(host.poll(queue)?.commandIdentifier == 3)
  }

  @Test("two commands with one identifier conflict while both are outstanding")
  func identifierConflict() throws {
    let host = try TestHost.memory { $0.latency = 1000 }
    let queue = host.makeQueue()
    var entry = SubmissionEntry(.flush, namespace: 1)
    entry.commandIdentifier = 4
    host.place(entry, queue)
    host.place(entry, queue)
    host.ring(queue)
    #expect(host.poll(queue)?.status.code == .commandIdentifierConflict)
    _ = host.controller.service(now: 10_000)
    #expect(host.poll(queue)?.status.isSuccess == true)
  }

  @Test("commands of a deleted queue end with the queue")
  func deletion() throws {
    let host = try TestHost.memory { $0.latency = 1000 }
    let queue = host.makeQueue()
    host.place(SubmissionEntry(.flush, namespace: 1), queue)
    host.ring(queue)
    #expect(host.status(SubmissionEntry(deleteSubmissionQueue: 1)).isSuccess)
    #expect(host.poll(queue)?.status.code == .submissionQueueDeleted)
    #expect(host.controller.service(now: 10_000) == .max)
    #expect(host.poll(queue) == nil)
  }

  @Test("RDY and SHST do not change when stuck")
  func stuck() throws {
    let host = try TestHost.memory()
    host.controller.faultRules = [
      FaultRule(.disable, .stuck, limit: 1), FaultRule(.enable, .stuck, limit: 1),
    ]
    host.disable()
    #expect(host.status.ready)
    host.disable()
    try host.controller.reset()
    #expect(!host.status.ready)
    host.enable()
    #expect(!host.status.ready)
    host.disable()
    host.enable()
    #expect(host.status.ready)
    host.controller.faultRules = [FaultRule(.shutdown, .stuck)]
    host.window.store32(0x0046_4001, at: Register.configuration)
    #expect(host.status.shutdown == .occurring)
  }

  @Test("a fatal error stops everything until a reset")
  func fatal() throws {
    let host = try TestHost.memory()
    let queue = host.makeQueue()
    host.controller.faultRules = [FaultRule(io: .flush, .fatal, limit: 1)]
    #expect(host.run(SubmissionEntry(.flush, namespace: 1), queue) == nil)
    #expect(host.status.fatal)
    #expect(host.run(SubmissionEntry(identify: .controller)) == nil)
    host.disable()
    host.enable()
    #expect(host.status.ready && !host.status.fatal)
    #expect(host.status(SubmissionEntry(.flush, namespace: 1), host.makeQueue()).isSuccess)
  }

  @Test("a removed function reads as all ones and signals its removal")
  func removal() throws {
    let host = try TestHost.memory()
    let queue = host.makeQueue()
    host.controller.faultRules = [FaultRule(io: .flush, .remove)]
    #expect(host.run(SubmissionEntry(.flush, namespace: 1), queue) == nil)
    #expect(host.status.isGone)
    #expect(host.window.load64(at: Register.capabilities) == .max)
    #expect(host.controller.readConfiguration(at: 0, width: 2) == .max)
    #expect(EventDescriptor.isReadable(try #require(host.controller.removalDescriptor)))
  }
}
