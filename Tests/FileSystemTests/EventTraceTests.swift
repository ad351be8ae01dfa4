import BlockProtocol
import FileProtocol
import FileSystem
import Simulation
import Testing

/// The ring of events, and what a filesystem records in it.
@Suite("Event trace") struct EventTraceTests {
  /// A trace whose clock counts the events.
  private func counting(_ trace: EventTrace) -> EventTrace.Reader {
    var time: UInt64 = 0
    return trace.begin {
      time += 1
      return time
    }
  }

  private func event(_ number: UInt32) -> TracedEvent {
    var event = TracedEvent(.completion)
    event.number = number
    return event
  }

  @Test("Each reader gets all events since it began, in order")
  func readers() {
    let trace = EventTrace()
    var first = counting(trace)
    trace.record(event(1))
    var second = trace.begin { 0 }
    trace.record(event(2), of: 7)
    #expect(trace.take(&first, limit: 1).map(\.number) == [1])
    #expect(trace.take(&first).map(\.number) == [2])
    let seen = trace.take(&second)
    #expect(seen.map(\.number) == [2] && seen.map(\.actor) == [7] && seen.map(\.time) == [2])
    #expect(trace.take(&second).isEmpty && first.lost == 0 && second.lost == 0)
  }

  @Test("It is on as long as there is a reader")
  func onAndOff() {
    let effects = Effects()
    effects.submit(BlockCommand(.flush))
    #expect(!effects.trace.isOn && effects.commands.map(\.number) == [0])
    let first = counting(effects.trace)
    let second = counting(effects.trace)
    effects.trace.end(first)
    effects.submit(BlockCommand(.flush))
    effects.submit(BlockCommand(.flush))
    #expect(effects.trace.isOn && effects.commands.map(\.number) == [0, 1, 2])
    effects.trace.end(second)
    effects.trace.record(event(3))
    #expect(!effects.trace.isOn)
    var third = counting(effects.trace)
    #expect(effects.trace.take(&third).isEmpty)
  }

  @Test("Events that were not taken in time are counted as lost")
  func overwritten() {
    let trace = EventTrace()
    var reader = counting(trace)
    let count = UInt32(EventTrace.capacity + 3)
    for number in 0..<count { trace.record(event(number)) }
    #expect(trace.take(&reader).map(\.number) == Array(3..<count))
    #expect(reader.lost == 3)
  }

  /// The events of `body`.
  private func events(_ mounted: Mounted, _ body: () throws -> Void) throws -> [TracedEvent] {
    let trace = try #require(mounted.fileSystem).effects.trace
    var reader = counting(trace)
    try body()
    let events = trace.take(&reader)
    #expect(reader.lost == 0)
    trace.end(reader)
    return events
  }

  @Test("A write and its fsync are shown from the request to the answer")
  func writeAndSync() throws {
    let mounted = try Mounted()
    let file = try mounted.makeFile("f")
    try mounted.sync(file)
    let events = try events(mounted) {
      try mounted.write(file, [UInt8](repeating: 1, count: 8192))
      try mounted.sync(file)
    }
    let requests = events.filter { $0.kind == .request }
    #expect(requests.compactMap { Operation(rawValue: $0.detail) } == [.write, .fsync])
    #expect(requests.allSatisfy { $0.place == file })
    #expect(requests.first?.count == 8192)
    let begun = try #require(events.lastIndex { $0.kind == .request })
    let slot = events[begun].actor
    let sync = events[begun...].filter { $0.actor == slot }
    #expect(sync.map(\.kind) == [.request, .logWrite, .command, .wait, .resume, .finish])
    #expect(sync[1].place == sync[2].place && sync[1].count == sync[2].count && sync[2].number > 0)
    #expect(FileSystem.detailName(of: sync[1]) == "foreground")
    #expect(WaitReason(rawValue: sync[3].detail) == .durability)
    #expect(sync[5].code == 0)
  }

  @Test("A request that waits for reads says so, and goes on")
  func reads() throws {
    let mounted = try Mounted()
    let file = try mounted.makeFile("f")
    try mounted.write(file, pattern(40_960))
    try mounted.remount()
    let again = try mounted.path("f")
    let events = try events(mounted) { _ = try mounted.read(again, count: 40_960) }
    let waits = events.filter { $0.kind == .wait }
    #expect(!waits.isEmpty && waits.allSatisfy { WaitReason(rawValue: $0.detail) == .read })
    #expect(events.count { $0.kind == .resume } == waits.count)
    #expect(events.last { $0.kind == .command }?.detail == BlockCommand.Operation.read.rawValue)
  }

  @Test("Background work is shown: the commit, and each phase of a checkpoint")
  func jobs() throws {
    let mounted = try Mounted()
    let service = try #require(mounted.fileSystem)
    let file = try mounted.makeFile("f")
    let events = try events(mounted) {
      try mounted.write(file, pattern(40_960))
      try mounted.settle()
    }
    let commits = events.filter { service.jobName(of: $0) == "commit" }
    #expect(commits.contains { $0.kind == .command } && commits.contains { $0.kind == .step })
    let phases = events.filter { $0.kind == .checkpoint }
    #expect(
      phases.compactMap(FileSystem.detailName) == [
        "preparing", "nodes", "tables", "settling", "usage", "firstFlush", "pack", "lastFlush", "idle",
      ])
    #expect(phases.allSatisfy { service.jobName(of: $0) == "checkpoint" })
    #expect(Set(phases.map(\.offset)) == [service.state.checkpoint])
  }

  @Test("What is recorded changes nothing")
  func isObserver() throws {
    func run(traced: Bool) throws -> [UInt64] {
      let mounted = try Mounted()
      let service = try #require(mounted.fileSystem)
      if traced { _ = counting(service.effects.trace) }
      let file = try mounted.makeFile("f")
      try mounted.write(file, pattern(100_000))
      try mounted.sync(file)
      try mounted.settle()
      let state = service.statistics
      return [
        mounted.harness.clock.now.monotonic, state.reruns, state.logBlocks, state.flushes, state.checkpoints,
        state.mostWorkPerStep,
      ]
    }
    #expect(try run(traced: true) == run(traced: false))
  }
}
