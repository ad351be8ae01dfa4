import ArgumentParser
import Block
import CMachine
import Control
import Device
import Glibc
import JSONValue

/// `varve trace`: the timeline of requests and their NVMe commands.
struct Trace: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract:
      "Show requests and NVMe commands of a mounted device as they go, or of a small load on one that is not.",
    discussion: """
      Of a mounted device each request and each piece of background work is shown once it is over: what it waited for, \
      the log writes it made, its commands for blocks, and the NVMe commands that carried these out. Each NVMe command is \
      shown with its stages, in microseconds: from the submission queue to the doorbell, the store to \
      the doorbell, the time at the controller until a poll found the completion, and collecting it. What is marked: \
      + more than 10 us, ! 100 us, # 1 ms, * 10 ms, @ 100 ms, $ 1 s.

      A mounted device is followed until so many (--count) were shown, --seconds are over, or you interrupt it; after \
      --seconds what is not over is shown too. On one \
      that is not mounted, --count reads (16) are carried out, one after the other. JSON is one object a line.
      """)

  @OptionGroup var target: DeviceOrMountArgument

  @Option(
    help: "Show so many requests and pieces of background work, or commands; with JSON, so many objects.")
  var count: Int?
  @Option(help: "Follow a mounted device for so long.")
  var seconds: Double?
  @Option(help: "Read an unmounted device in this order.")
  var read = AccessPattern.random
  @Option(help: "The size of a read of an unmounted device, a multiple of 4096 up to 1M.")
  var block = "4096"

  @OptionGroup var output: OutputOptions

  private static let blockSize = UInt64(SynchronousDevice.blockSize)
  private static let largestRead: UInt64 = 1 << 20

  func validate() throws {
    if let count, count < 1 { throw ValidationError("--count \(count) is no number of commands") }
    if let seconds, !(0...86_400).contains(seconds) {
      throw ValidationError("--seconds \(seconds) is not at most 86400")
    }
    guard let bytes = Size.bytes(block), bytes > 0, bytes <= Self.largestRead, bytes % Self.blockSize == 0
    else { throw ValidationError("--block \(block) is no multiple of 4096 up to 1M") }
  }

  func run() throws {
    if output.outputFormat == .normal { print(TraceGraph.heading) }
    if let daemon = try ServingDaemon.findMount(target.device) { return try follow(daemon) }
    try load()
  }

  // MARK: A mounted device

  /// How often the daemon is asked for more (us).
  private static let pause: UInt32 = 50_000

  private func follow(_ daemon: ServingDaemon) throws {
    _ = try daemon.askOfMount("trace", [("action", .text("start"))])
    let end = seconds.map { cm_monotonic_ns() &+ UInt64($0 * 1e9) } ?? .max
    var printer = TracePrinter(output.outputFormat, limit: count ?? .max)
    var lost: (commands: UInt64, events: UInt64) = (0, 0)
    while printer.isOpen {
      let isLast = cm_monotonic_ns() >= end
      let answer = try daemon.askOfMount("trace", [("action", .text("read"))])
      let commands = (answer["commands"]?.values ?? []).compactMap(TracedCommand.init)
      let events = (answer["events"]?.values ?? []).compactMap(ReportedEvent.init)
      printer.print(events, commands)
      tell(answer["lost"], &lost.commands, "commands")
      tell(answer["lost_events"], &lost.events, "events")
      if commands.isEmpty, events.isEmpty {
        if isLast { break }
        usleep(Self.pause)
      }
    }
    printer.printRest()
    _ = try daemon.askOfMount("trace", [("action", .text("stop"))])
  }

  /// Says how many more were overwritten before they were read.
  private func tell(_ answer: JSON?, _ told: inout UInt64, _ what: String) {
    let total = answer?.integer(UInt64.self) ?? 0
    if total > told { Varve.complain("\(total - told) \(what) were too many to be recorded") }
    told = total
  }

  // MARK: An unmounted one

  private func load() throws {
    let blocks = (Size.bytes(block) ?? Self.blockSize) / Self.blockSize
    try Daemons.requireNone(on: target.device)
    let device = try DeviceLocator.open(
      target.device, arenaFrames: Int(blocks), whenWaiting: Varve.complain)
    defer { device.close() }
    guard let namespace = device as? NamespaceDevice, device.blockCount >= blocks else {
      throw DeviceError("\(device.name) is smaller than a read of \(block) bytes; use a smaller --block")
    }
    let plan = BenchPlan(
      operation: .read, pattern: read, blocksPerCommand: Int(blocks), depth: 1, duration: 0,
      range: device.blockCount)
    var places = BlockSequence(plan, seed: .random(in: .min ... .max))
    var printer = TracePrinter(output.outputFormat, limit: count ?? 16)
    namespace.startTrace(capacity: 1024)
    let reader = SynchronousDevice(device)
    while printer.isOpen {
      _ = try reader.read(block: places.next(), count: Int(blocks))
      printer.print([], namespace.takeTrace(limit: 1024).commands.map(TracedCommand.init))
    }
  }
}

/// Prints what a trace shows, up to a number of items.
struct TracePrinter {
  private let format: OutputFormat
  private var left: Int
  private var graph = TraceGraph()
  private var timeline = Timeline()

  init(_ format: OutputFormat, limit: Int) {
    self.format = format
    left = limit
  }

  /// Whether there may be more.
  var isOpen: Bool { left > 0 }

  /// Prints what is complete by these events and commands; in JSON each of them, in the order of time.
  mutating func print(_ events: [ReportedEvent] = [], _ commands: [TracedCommand]) {
    guard format == .json else { return print(timeline.add(events, commands)) }
    let lines = events.map { ($0.time, $0.json.line) } + commands.map { ($0.submitted, $0.json.line) }
    show(lines.sorted { $0.0 < $1.0 }.map { [$0.1] })
  }

  /// Prints what is not complete.
  mutating func printRest() { print(timeline.takeRest()) }

  private mutating func print(_ items: [Timeline.Item]) {
    show(
      items.prefix(left).map { item in
        switch item {
        case .activity(let activity): graph.lines(for: activity)
        case .command(let command): graph.lines(for: command)
        }
      })
  }

  private mutating func show(_ items: [[String]]) {
    for line in items.prefix(left).joined() { Swift.print(line) }
    left -= min(left, items.count)
    fflush(nil)
  }
}
