import BlockProtocol
import FileProtocol
import Glibc
import PCI
import Testing

@testable import Reactor

/// A reactor with its parts, over a memory device.
private struct Bench {
  let arena: DMAArena
  let service: BlockService
  let device: MemoryDevice
  let reactor: Reactor

  init(slots: Int, depth: Int, seed: UInt64 = 1, interrupts: Bool = true) throws {
    let layout = SlotLayout(count: slots, maximumTransfer: 128 << 10)
    arena = try DMAArena(frames: layout.frameCount)
    service = BlockService(slots: layout.count)
    device = MemoryDevice(blocks: 1024, arena: arena, depth: depth, seed: seed, interrupts: interrupts)
    reactor = try Reactor(service: service, device: device, slots: layout)
  }

  func channel(_ requests: [Request], window: Int = .max) -> ScriptedChannel {
    ScriptedChannel(requests, service: service, window: window)
  }
}

private func request(_ operation: Operation, _ node: UInt64 = 0) -> Request {
  var request = Request()
  request.operation = operation
  request.node = node
  return request
}

@Suite struct ReactorTests {
  @Test(arguments: [1, 2, 8], [1, 3, 64])
  func everyRequestIsAnsweredOnce(slots: Int, depth: Int) throws {
    for seed in 1...24 as ClosedRange<UInt64> {
      let window = [1, 7, 40][Int(seed % 3)]
      let bench = try Bench(slots: slots, depth: depth, seed: seed &* 0x9E37_79B9_7F4A_7C15)
      bench.service.rounds = Int(seed % 4)
      let kinds: [Operation] = [.read, .write, .fsync]
      let channel = bench.channel((0..<200).map { request(kinds[$0 % 3], UInt64($0)) }, window: window)
      #expect(bench.reactor.serve(channel) == .unmounted)
      #expect(channel.answered.map(\.request).sorted() == Array(0..<200))
      #expect(channel.answered.allSatisfy { $0.error == 0 })
      #expect(channel.largestUnanswered <= min(slots, window))
      #expect(bench.device.largestInFlight <= depth)
      #expect(bench.reactor.counters.requests == 200)
      #expect(bench.reactor.counters.commands == 200 * UInt64(bench.service.rounds))
      let allSlotsAreFree = bench.reactor.pool.isFull
      #expect(allSlotsAreFree)
      #expect(bench.reactor.inFlight == 0)
      #expect(bench.reactor.callers.unanswered == 0)
    }
  }

  @Test(arguments: [false, true]) func oneUsersRequestsWaitForTheirTurnAndAnothersDoNot(endsEarly: Bool)
    throws
  {
    let bench = try Bench(slots: 64, depth: 64)
    bench.device.pollsUntilArrival = 20
    func large(_ node: UInt64) -> Request {
      var write = request(.write, node)
      write.uid = 1
      write.length = 1 << 20
      return write
    }
    // The second user is known from an earlier request, then sends another behind all requests of the first.
    var small = request(.read, 100)
    small.uid = 2
    small.length = 4096
    let channel = bench.channel([small] + (0..<40).map { large($0) } + [small])
    channel.endsEarly = endsEarly
    #expect(bench.reactor.serve(channel) == .unmounted)
    #expect(channel.answered.map(\.request).sorted() == Array(0..<42))
    #expect(bench.reactor.counters.heldRequests == 38)
    if !endsEarly {
      let place = try #require(channel.answered.firstIndex { $0.request == 41 })
      #expect(place < 10)
    }
  }

  @Test func completionsAndRepliesAreTraced() throws {
    let bench = try Bench(slots: 4, depth: 2)
    bench.device.failures = [3: EIO]
    let trace = bench.service.effects.trace
    var reader = trace.begin { 1 }
    let channel = bench.channel((0..<8).map { request(.write, UInt64($0)) })
    _ = bench.reactor.serve(channel)
    let events = trace.take(&reader)
    let commands = events.filter { $0.kind == .command }
    #expect(commands.map(\.number) == Array(1...8))
    let completions = events.filter { $0.kind == .completion }
    #expect(completions.map(\.number).sorted() == Array(1...8))
    #expect(
      completions.filter { $0.code != 0 }.map(\.number) == commands.filter { $0.place == 3 }.map(\.number))
    #expect(events.count { $0.kind == .reply } == 8)
  }

  @Test func commandsKeepTheirOrderThroughTheBacklog() throws {
    let bench = try Bench(slots: 32, depth: 2)
    bench.device.pollsUntilArrival = 20
    let kinds: [Operation] = [.write, .write, .fsync, .read]
    let channel = bench.channel((0..<32).map { request(kinds[$0 % 4], UInt64($0)) })
    _ = bench.reactor.serve(channel)
    #expect(bench.reactor.counters.delayedCommands > 0)
    for (index, operation) in bench.device.submitted.enumerated() {
      let expected = [.write, .write, .flush, .read][index % 4] as BlockCommand.Operation
      #expect("\(operation)" == "\(expected)")
    }
  }

  @Test func aFailedCommandFailsItsRequestAlone() throws {
    let bench = try Bench(slots: 4, depth: 4)
    bench.device.failures = [3: EIO, 5: ENOSPC]
    let channel = bench.channel((0..<10).map { request(.write, UInt64($0)) }, window: 1)
    _ = bench.reactor.serve(channel)
    #expect(channel.answered.filter { $0.error != 0 }.map(\.request) == [3, 5])
    #expect(bench.reactor.counters.failedCommands == 2)
  }

  @Test func aDeviceWithoutInterruptsIsPolled() throws {
    let bench = try Bench(slots: 4, depth: 4, interrupts: false)
    let channel = bench.channel((0..<50).map { request(.read, UInt64($0)) })
    #expect(bench.reactor.serve(channel) == .unmounted)
    #expect(channel.answered.count == 50)
  }

  @Test func withoutABlockCommandsFail() throws {
    let layout = SlotLayout(count: 2, maximumTransfer: 128 << 10)
    let service = BlockService(slots: 2)
    service.rounds = 3
    let reactor = try Reactor(service: service, device: nil, slots: layout)
    let channel = ScriptedChannel([request(.read), request(.fsync)], service: service)
    #expect(reactor.serve(channel) == .unmounted)
    #expect(channel.answered.map(\.error) == [EIO, EIO])
  }

  @Test func requestsInProgressAreAnsweredAfterTheChannelEnded() throws {
    let bench = try Bench(slots: 8, depth: 1)
    bench.service.rounds = 5
    let channel = bench.channel((0..<8).map { request(.write, UInt64($0)) })
    channel.endsEarly = true
    #expect(bench.reactor.serve(channel) == .unmounted)
    #expect(channel.answered.count == 8)
    #expect(bench.service.isStopped)
  }

  @Test func stopEndsAnIdleReactor() throws {
    let bench = try Bench(slots: 2, depth: 2)
    // No request is ever delivered, so that only the watched descriptor can end it.
    let channel = bench.channel([request(.read)], window: 0)
    var ends: [Int32] = [0, 0]
    #expect(pipe(&ends) == 0)
    defer { for end in ends { close(end) } }
    bench.reactor.loop.watch(ends[0]) { [reactor = bench.reactor] in
      var byte: UInt8 = 0
      if read(ends[0], &byte, 1) == 1 { reactor.stop() }
    }
    var byte: UInt8 = 1
    #expect(write(ends[1], &byte, 1) == 1)
    #expect(bench.reactor.serve(channel) == .stopped)
    #expect(channel.answered.isEmpty)
  }

  @Test func advanceIsCalledAtItsTimeAndAfterEvents() throws {
    let bench = try Bench(slots: 2, depth: 2)
    bench.service.deadlines = [.max, 1, 1, 1]
    let channel = bench.channel([request(.read)], window: 0)
    bench.reactor.watchForIdleness(of: bench.service, after: 4)
    #expect(bench.reactor.serve(channel) == .stopped)
    #expect(bench.service.advances >= 4)
  }

  @Test func startingEndsWithTheStepThatMakesTheServiceReady() throws {
    let bench = try Bench(slots: 2, depth: 2)
    bench.service.isReady = false
    bench.service.deadlines = [0, 0]
    try bench.reactor.start()
    #expect(bench.service.isReady)
  }

  @Test func aServiceThatCannotStartReportsWhy() throws {
    let bench = try Bench(slots: 2, depth: 2)
    bench.service.isReady = false
    bench.service.failure = "no superblock"
    let error = #expect(throws: ReactorError.self) { try bench.reactor.start() }
    #expect(error?.problem == "no superblock")
  }

  @Test func aFailureAtTheEndIsReported() throws {
    let bench = try Bench(slots: 2, depth: 2)
    bench.service.failure = "the device is gone"
    let channel = bench.channel([request(.read)])
    #expect(bench.reactor.serve(channel) == .failed("the device is gone"))
    #expect(channel.answered.count == 1)
  }
}
