import Control
import JSONValue
import NVMe
import NVMeSpec
import Testing

@testable import varve

/// The timeline of `varve trace`: events and NVMe commands, joined by request.
@Suite struct VarveTraceTests {
  private typealias Fields = [(name: String, value: JSON)]

  private func event(
    _ kind: String, _ time: UInt64, _ actor: ReportedEvent.Actor, _ fields: Fields = []
  ) -> ReportedEvent {
    ReportedEvent(kind, time: time, actor, fields)
  }

  private func command(_ number: UInt64, _ time: UInt64, _ actor: ReportedEvent.Actor) -> ReportedEvent {
    event("command", time, actor, [("operation", .text("write")), ("number", .integer(number))])
  }

  private func completion(_ number: UInt64, _ time: UInt64) -> ReportedEvent {
    event("completion", time, .device, [("number", .integer(number)), ("errno", .integer(0))])
  }

  private func request(_ operation: String, _ time: UInt64, slot: UInt16 = 3) -> ReportedEvent {
    event("request", time, .request(slot: slot), [("operation", .text(operation)), ("inode", .integer(9))])
  }

  private func answer(_ time: UInt64, slot: UInt16 = 3, errno: Int = 0) -> [ReportedEvent] {
    [
      event("finish", time, .request(slot: slot), [("errno", .integer(errno))]),
      event("reply", time + 1, .request(slot: slot)),
    ]
  }

  private func traced(_ number: UInt32, _ time: UInt64) -> TracedCommand {
    var trace = CommandTrace()
    trace.queue = 1
    trace.context = UInt64(number)
    trace.command = SubmissionEntry(.write, namespace: 1, block: 8, count: 8)
    (trace.submitted, trace.doorbell, trace.doorbellEnd) = (time, time + 1, time + 2)
    (trace.completed, trace.reaped) = (time + 3, time + 4)
    return TracedCommand(trace)
  }

  /// What is shown, without times and columns.
  private func calls(_ items: [Timeline.Item]) -> [String] {
    var graph = TraceGraph()
    return items.flatMap { item in
      switch item {
      case .activity(let activity): graph.lines(for: activity)
      case .command(let command): graph.lines(for: command)
      }
    }.map { line in
      String(line.split(separator: "|", omittingEmptySubsequences: false).last?.dropFirst(2) ?? "")
    }
  }

  @Test func anFsyncIsShownDownToTheDoorbell() {
    var timeline = Timeline()
    let slot = ReportedEvent.Actor.request(slot: 3)
    let first = timeline.add(
      [request("fsync", 1), command(5, 2, slot), event("wait", 3, slot, [("reason", .text("durability"))])],
      [])
    #expect(calls(first).isEmpty)
    let second = timeline.add(
      [completion(5, 20), event("resume", 21, slot)] + answer(22), [traced(5, 4)])
    #expect(
      calls(second) == [
        "fsync(inode 9) {", "  write(number 5) {", "    write(nsid 1, lba 8 + 8, PRP 0x0) {",
        "      submit();",
        "      doorbell();", "      controller();", "      reap();", "    } /* \(traced(5, 4).status) */",
        "  } /* success */", "  wait(durability);", "  reply();", "} /* success */",
      ])
    #expect(calls(timeline.takeRest()).isEmpty)
  }

  @Test func whatACompletionBringsAboutBelongsToItsRequest() {
    var timeline = Timeline()
    let slot = ReportedEvent.Actor.request(slot: 3)
    let items = timeline.add(
      [request("fsync", 1), command(5, 2, slot), completion(5, 3), command(6, 4, .device), completion(6, 5)]
        + answer(6), [traced(5, 2), traced(6, 4)])
    #expect(items.count == 1)
    #expect(calls(items).count { $0.hasPrefix("  write(number") } == 2)
  }

  @Test func aSlotThatIsUsedAgainIsAnotherRequest() {
    var timeline = Timeline()
    let items = timeline.add(
      [request("read", 1)] + answer(2) + [request("write", 4)] + answer(5, errno: 28), [])
    #expect(
      calls(items) == ["read(inode 9) {", "  reply();", "} /* success */"]
        + ["write(inode 9) {", "  reply();", "} /* No space left on device */"])
  }

  @Test func aHeldRequestIsOneWithWhatFollows() {
    var timeline = Timeline()
    let items = timeline.add([event("held", 1, .request(slot: 3)), request("read", 5)] + answer(6), [])
    #expect(calls(items) == ["read(inode 9) {", "  wait_for_turn();", "  reply();", "} /* success */"])
  }

  @Test func whatIsNotAnsweredIsShownAtTheEnd() {
    var timeline = Timeline()
    let slot = ReportedEvent.Actor.request(slot: 3)
    for _ in 0..<100 {
      #expect(timeline.add([], []).isEmpty)
    }
    let events = [request("fsync", 1), event("wait", 3, slot, [("reason", .text("segments"))])]
    #expect(timeline.add(events, []).isEmpty)
    for _ in 0..<100 { #expect(timeline.add([], []).isEmpty) }
    #expect(calls(timeline.takeRest()) == ["fsync(inode 9) {", "  wait(segments);", "} /* not answered */"])
  }

  @Test func workOfAJobIsShownOnceItsCommandsHaveEnded() {
    var timeline = Timeline()
    let job = ReportedEvent.Actor.job("commit")
    let step = event("step", 4, job, [("began_ns", .integer(1))])
    #expect(timeline.add([command(5, 2, job), step], []).isEmpty)
    let items = timeline.add([completion(5, 9)], [traced(5, 2)])
    #expect(calls(items).first == "commit() {" && calls(items).contains("  step();"))
    #expect(calls(items).last == "}")
  }

  @Test func aCommandOfNoBlockCommandStandsAlone() {
    var timeline = Timeline()
    #expect(calls(timeline.add([], [traced(0, 1), traced(77, 2)])).count { $0.hasPrefix("write(") } == 2)
  }

  /// A command that the driver's trace has lost does not keep its request from being shown.
  @Test func aRequestIsShownWithoutLostCommands() {
    var timeline = Timeline()
    var items = timeline.add(
      [request("fsync", 1), command(5, 2, .request(slot: 3)), completion(5, 3)] + answer(6), [])
    for _ in 0..<10 where items.isEmpty { items = timeline.add([], []) }
    #expect(calls(items).contains("  write(number 5) {"))
  }

  /// However many requests are not answered, memory is bounded.
  @Test func tooManyAreShownAsTheyAre() {
    var timeline = Timeline()
    var shown = 0
    for number in 0..<5000 as Range<UInt16> {
      shown += timeline.add([request("read", UInt64(number), slot: number)], []).count
    }
    #expect(shown == 5000 - 4096)
  }

  @Test func waitsAreATableOfThoseThatThereWere() throws {
    func wait(_ reason: String, _ now: Int, _ waited: Int) -> JSON {
      .object([
        ("reason", .text(reason)), ("waiting", .integer(now)), ("waiting_ns", .integer(5_000)),
        ("waited", .integer(waited)), ("total_ns", .integer(9_000)), ("longest_ns", .integer(7_000)),
      ])
    }
    let text = StatReport(
      .object([("waits", .array([wait("read", 0, 0), wait("segments", 2, 0), wait("commit", 0, 4)]))])
    ).text
    let lines = text.split(separator: "\n").map { $0.split(separator: " ").joined(separator: " ") }
    #expect(lines.prefix(3).dropFirst() == ["segments 2 5.0 0 9.0 7.0", "commit 0 5.0 4 9.0 7.0"])
  }
}
