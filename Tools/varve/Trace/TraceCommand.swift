import ArgumentParser
import Block
import CMachine
import Control
import Device
import Glibc
import JSONValue

/// `varve trace`: the timeline of NVMe commands.
struct Trace: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show the NVMe commands of a mounted device as they go, or of a small load on one that is not.",
    discussion: """
      Each command is shown with its stages, in microseconds: from the submission queue to the doorbell, the store to \
      the doorbell, the time at the controller until a poll found the completion, and collecting it. What is marked: \
      + more than 10 us, ! 100 us, # 1 ms, * 10 ms, @ 100 ms, $ 1 s.

      A mounted device is followed until --count commands were shown, --seconds are over, or you interrupt it. On one \
      that is not mounted, --count reads (16) are carried out, one after the other. JSON is one object a line.
      """)

  @OptionGroup var target: DeviceOrMountArgument

  @Option(help: "Show so many commands.")
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
    var lost: UInt64 = 0
    while printer.isOpen {
      let isLast = cm_monotonic_ns() >= end
      let answer = try daemon.askOfMount("trace", [("action", .text("read"))])
      let commands = (answer["commands"]?.values ?? []).compactMap(TracedCommand.init)
      printer.print(commands)
      let total = answer["lost"]?.integer(UInt64.self) ?? 0
      if total > lost { Varve.complain("\(total - lost) commands were too many to be recorded") }
      lost = total
      if isLast { break }
      if commands.isEmpty { usleep(Self.pause) }
    }
    _ = try daemon.askOfMount("trace", [("action", .text("stop"))])
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
      printer.print(namespace.takeTrace(limit: 1024).commands.map(TracedCommand.init))
    }
  }
}

/// Prints commands of a trace, up to a number of them.
struct TracePrinter {
  private let format: OutputFormat
  private var left: Int
  private var graph = TraceGraph()

  init(_ format: OutputFormat, limit: Int) {
    self.format = format
    left = limit
  }

  /// Whether there may be more.
  var isOpen: Bool { left > 0 }

  mutating func print(_ commands: [TracedCommand]) {
    for command in commands.prefix(left) {
      if format == .json {
        Swift.print(command.json.line)
      } else {
        for line in graph.lines(for: command) { Swift.print(line) }
      }
    }
    left -= min(left, commands.count)
    fflush(nil)
  }
}
