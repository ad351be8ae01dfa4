import CMachine
import EmulatedController
import Glibc
import NVMeSpec
import Testing

@Suite("Queues and interrupts")
struct QueueTests {
  @Test("invalid queue parameters are refused, each with its own status")
  func refusals() throws {
    let host = try TestHost.memory {
      $0.queuePairs = 2
      $0.queueDepth = 64
    }
    let memory = host.arena.address(host.allocate(4))
    func create(_ queue: UInt16, _ entries: Int, _ address: UInt64, vector: UInt16? = nil) -> StatusCode {
      host.status(
        SubmissionEntry(createCompletionQueue: queue, entries: entries, at: address, vector: vector)
      ).code
    }
    #expect(create(0, 16, memory) == .invalidQueueIdentifier)
    #expect(create(3, 16, memory) == .invalidQueueIdentifier)
    #expect(create(1, 1, memory) == .invalidQueueSize)
    #expect(create(1, 65, memory) == .invalidQueueSize)
    #expect(create(1, 16, memory + 8) == .invalidPRPOffset)
    #expect(create(1, 16, 0x7000_0000_0000) == .dataTransferError)
    #expect(create(1, 16, memory, vector: 1) == .invalidInterruptVector)
    let orphan = SubmissionEntry(createSubmissionQueue: 1, entries: 16, at: memory, completionQueue: 1)
    #expect(host.status(orphan).code == .completionQueueInvalid)
    for completion in [0, 3, .max] as [UInt16] {
      let entry = SubmissionEntry(
        createSubmissionQueue: 1, entries: 16, at: memory, completionQueue: completion)
      #expect(host.status(entry).code == .invalidQueueIdentifier)
    }
    #expect(create(1, 16, memory) == .success)
    #expect(create(1, 16, memory) == .invalidQueueIdentifier)
    #expect(host.status(orphan).isSuccess)
    #expect(host.status(orphan).code == .invalidQueueIdentifier)
    #expect(host.status(SubmissionEntry(deleteCompletionQueue: 1)).code == .invalidQueueDeletion)
    #expect(host.status(SubmissionEntry(deleteSubmissionQueue: 2)).code == .invalidQueueIdentifier)
    #expect(host.status(SubmissionEntry(deleteSubmissionQueue: 1)).isSuccess)
    #expect(host.status(SubmissionEntry(deleteCompletionQueue: 1)).isSuccess)
    #expect(host.status(SubmissionEntry(deleteCompletionQueue: 1)).code == .invalidQueueIdentifier)
  }

  @Test("the memory buffer holds whole submission queues and nothing else")
  func memoryBuffer() throws {
    let host = try TestHost.memory { $0.memoryBuffer = 8192 }
    let address: UInt64 = 1 << 60
    func load(_ offset: Int) -> UInt32 { host.window.load32(at: offset) }
    #expect(host.capabilities.memoryBufferSupported)
    #expect(load(Register.memoryBufferLocation) == 0 && load(Register.memoryBufferSize) == 0)
    var control = MemoryBufferControl(rawValue: 0)
    control.capabilitiesEnabled = true
    host.window.store64(control.rawValue, at: Register.memoryBufferControl)
    let size = MemoryBufferSize(rawValue: load(Register.memoryBufferSize))
    let start = size.byteOffset(MemoryBufferLocation(rawValue: load(Register.memoryBufferLocation)))
    #expect(size.submissionQueues && !size.completionQueues && size.size == 8192 && start == 4096)
    func create(_ queue: UInt16, _ entries: Int, _ address: UInt64) -> StatusCode {
      host.status(
        SubmissionEntry(createSubmissionQueue: queue, entries: entries, at: address, completionQueue: 1)
      ).code
    }
    let queue = host.makeQueue(entries: 16)
    #expect(host.status(SubmissionEntry(deleteSubmissionQueue: 1)).isSuccess)
    // Without an address; then with one too close to the end of the address space.
    #expect(create(1, 16, address) == .dataTransferError)
    control.memorySpaceEnabled = true
    control.baseAddress = ~0xfff
    host.window.store64(control.rawValue, at: Register.memoryBufferControl)
    #expect(load(Register.memoryBufferStatus) == 1 && create(1, 16, ~0xfff) == .dataTransferError)
    control.baseAddress = address
    host.window.store64(control.rawValue, at: Register.memoryBufferControl)
    #expect(load(Register.memoryBufferStatus) == 0)
    let completions = SubmissionEntry(createCompletionQueue: 2, entries: 16, at: address, vector: nil)
    #expect(host.status(completions).code == .invalidUseOfMemoryBuffer)
    for (entries, offset) in [(256, 0), (128, 4096), (128, 0xffff_ffff_ffff_f000)] as [(Int, UInt64)] {
      #expect(create(1, entries, address &+ offset) == .invalidUseOfMemoryBuffer)
    }
    #expect(create(1, 16, address + 4096) == .success)
    // Data must not lie there.
    var read = host.transfer(.read, block: 0, count: 1, frame: 0)
    read.prp1 = address
    read.commandIdentifier = 7
    let buffer = try host.controller.openBAR(2)
    buffer.address(of: 8192)?.storeBytes(of: read, as: SubmissionEntry.self)
    queue.tail = 1
    host.ring(queue)
    let end = host.poll(queue)
    #expect(end?.commandIdentifier == 7 && end?.status.code == .dataTransferError)
    #expect(host.controller.statistics.commandsFromMemoryBuffer == 1)
  }

  @Test(
    "queues wrap, the phase is inverted, and a full completion queue loses nothing", arguments: [2, 3, 8, 64])
  func wrap(entries: Int) throws {
    let host = try TestHost.memory()
    let queue = host.makeQueue(entries: entries)
    let frame = host.allocate()
    var expected: [UInt16] = []
    var seen: [UInt16] = []
    for round in 0..<200 {
      // At times the host does not consume completions, so that the controller has to wait.
      let batch = 1 + round % (entries - 1)
      for _ in 0..<batch {
        var entry = host.transfer(.read, block: 0, count: 1, frame: frame)
        entry.commandIdentifier = queue.nextIdentifier()
        expected.append(entry.commandIdentifier)
        host.place(entry, queue)
      }
      host.ring(queue)
      while let completion = host.poll(queue) { seen.append(completion.commandIdentifier) }
    }
    #expect(seen == expected)
  }

  @Test("commands of several submission queues complete on one completion queue")
  func sharedCompletionQueue() throws {
    let host = try TestHost.memory()
    let first = host.makeQueue(1, entries: 4)
    let memory = host.allocate()
    let second = TestQueue(
      number: 2, submission: memory, completion: first.completion, entries: 4, vector: nil)
    let create = SubmissionEntry(
      createSubmissionQueue: 2, entries: 4, at: host.arena.address(memory), completionQueue: 1)
    #expect(host.status(create).isSuccess)
    for queue in [first, second] {
      for _ in 0..<3 {
        host.place(host.transfer(.read, block: 0, count: 1, frame: 0), queue)
      }
      host.ring(queue)
    }
    // Three entries fit; the others follow when these are consumed.
    var queues: [UInt16] = []
    while let completion = host.poll(first) { queues.append(completion.submissionQueue) }
    #expect(queues == [1, 1, 1, 2, 2, 2])
  }

  @Test("a completion signals the eventfd of its queue's vector, and none without interrupts")
  func interrupts() throws {
    var configuration = EmulatedController.Configuration(namespaces: [.init(.memory(bytes: 1 << 20))])
    configuration.mode = .stepped
    let host = try TestHost(configuration)
    host.enable(interrupts: 4)
    func count(_ vector: Int) -> UInt64 {
      var value: UInt64 = 0
      return read(host.interrupts[vector], &value, 8) == 8 ? value : 0
    }
    let loud = host.makeQueue(1, vector: 2)
    let silent = host.makeQueue(2)
    #expect(count(0) > 0)
    for _ in 0..<3 { host.place(host.transfer(.read, block: 0, count: 1, frame: 0), loud) }
    host.ring(loud)
    host.place(host.transfer(.read, block: 0, count: 1, frame: 0), silent)
    host.ring(silent)
    #expect(count(2) == 1)
    #expect(count(1) == 0 && count(3) == 0 && count(0) == 0)
  }

  @Test("doorbells follow the stride")
  func stride() throws {
    let host = try TestHost.memory { $0.doorbellStride = 3 }
    #expect(host.capabilities.doorbellStride == 3)
    let queue = host.makeQueue()
    #expect(host.status(host.transfer(.read, block: 0, count: 1, frame: 0), queue).isSuccess)
  }

  @Test("a queue whose memory is unmapped is a fatal error")
  func unmappedQueue() throws {
    let host = try TestHost.memory()
    let queue = host.makeQueue()
    host.place(host.transfer(.read, block: 0, count: 1, frame: 0), queue)
    host.controller.unmap(host.arena)
    #expect(host.arena.iova == .max)
    host.ring(queue)
    #expect(host.status.fatal)
  }

  @Test("a queue whose entry size is not set has an invalid size; the other kind can be made")
  func entrySizes() throws {
    let host = try TestHost.memory()
    host.disable()
    host.enable(submissionEntrySize: 0)
    let address = host.arena.address(host.allocate())
    let completion = SubmissionEntry(createCompletionQueue: 1, entries: 16, at: address, vector: nil)
    let submission = SubmissionEntry(
      createSubmissionQueue: 1, entries: 16, at: address, completionQueue: 1)
    #expect(host.status(completion).isSuccess)
    #expect(host.status(submission).code == .invalidQueueSize)
  }
}
