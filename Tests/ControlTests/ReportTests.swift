import JSONValue
import NVMe
import NVMeSpec
import TestSupport
import Testing

@testable import Control

@Suite struct ReportTests {
  @Test func namesAreInSnakeCase() {
    #expect(Counts.name("submitted") == "submitted")
    #expect(Counts.name("badCommandIDs") == "bad_command_ids")
    #expect(Counts.name("submissionDoorbells") == "submission_doorbells")
  }

  @Test func everyCounterIsShown() {
    var counters = QueueCounters()
    counters.retries = 7
    let report = QueueReport(
      identifier: 3, depth: 31, counters: counters, latency: LatencyHistogram(), errors: []
    ).json
    #expect(report["queue"]?.integer(Int.self) == 3)
    #expect(report["retries"]?.integer(Int.self) == 7)
    #expect(report["latency"]?["count"]?.integer(Int.self) == 0)
    for child in Mirror(reflecting: counters).children {
      #expect(report[Counts.name(child.label ?? "")] != nil)
    }
  }

  @Test(arguments: 1...50 as ClosedRange<UInt64>)
  func bytesComeBack(seed: UInt64) throws {
    var random = SplitMix(seed: seed)
    let bytes = (0..<random.next() % 100).map { _ in UInt8(truncatingIfNeeded: random.next()) }
    #expect(try JSON(reading: JSON.bytes(bytes).line).bytes == bytes)
  }

  @Test func malformedBytesAreRefused() {
    for value in [JSON.text("0"), .text("0g"), .null, .integer(5)] { #expect(value.bytes == nil) }
  }

  @Test func aTracedCommandReadsBack() throws {
    var trace = CommandTrace()
    trace.queue = 1
    trace.command = SubmissionEntry(.write, namespace: 1, block: 8, count: 16)
    trace.command.setSGL(address: 0x1000, length: 8192)
    (trace.submitted, trace.doorbell, trace.doorbellEnd, trace.completed, trace.reaped) = (1, 2, 3, 4, 5)
    let command = TracedCommand(trace)
    #expect(command.name == "Write" && command.data == "SGL 0x1000 + 8192")
    #expect(command.blocks?.first == 8 && command.blocks?.count == 16)
    #expect(command.number == 0)
    trace.context = 17
    #expect(TracedCommand(try JSON(reading: TracedCommand(trace).json.line))?.number == 17)
    let read = TracedCommand(try JSON(reading: command.json.line))
    #expect(read == command)
    trace.command = SubmissionEntry(.flush, namespace: 1)
    let flush = TracedCommand(trace)
    #expect(flush.data == "" && flush.blocks == nil)
    let readFlush = TracedCommand(try JSON(reading: flush.json.line))
    #expect(readFlush == flush)
  }

  @Test(arguments: [ReportedEvent.Actor.request(slot: 3), .job("commit"), .device])
  func anEventReadsBack(actor: ReportedEvent.Actor) throws {
    let event = ReportedEvent(
      "logWrite", time: 7, actor,
      [("head", .text("foreground")), ("block", .integer(9)), ("fua", .bool(true))])
    let read = try #require(ReportedEvent(try JSON(reading: event.json.line)))
    #expect(read.json.line == event.json.line && read.actor == actor && read.time == 7)
    #expect(
      read.name == "log_write" && read["block"]?.integer(Int.self) == 9 && read["head"]?.text == "foreground")
    #expect(read.text == "\(actor): log_write(head foreground, block 9, fua)")
    #expect(read.arguments(without: ["head", "fua"]) == "block 9")
    #expect(ReportedEvent(.null) == nil && ReportedEvent(.object([("event", .text("x"))])) == nil)
  }

  @Test func aServedDeviceReadsBack() throws {
    let device = ServedDevice(
      process: 7, device: "LABEL=x", kind: .function, location: "0000:01:00.0", namespace: 2,
      mountPoint: "/mnt \"1\"", uuid: "u", label: "x")
    #expect(ServedDevice(try JSON(reading: device.json.line)) == device)
    #expect(ServedDevice(.null) == nil)
  }
}
