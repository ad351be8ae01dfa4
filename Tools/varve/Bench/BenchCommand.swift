import ArgumentParser
import Block
import Control
import Device
import Glibc
import NVMe
import PCI
import JSONValue

/// `varve bench`: the driver alone on a namespace.
struct Bench: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measure a namespace through the driver alone, without a filesystem.",
    discussion: "--write overwrites what the namespace holds, and so asks for --destroy as well.")

  @OptionGroup var target: DeviceArgument

  @Option(help: "Read, in this order.")
  var read: AccessPattern?
  @Option(help: "Write, in this order.")
  var write: AccessPattern?
  @Option(help: "The size of a command, a multiple of 4096: 4096, 128K, ….")
  var block = "4096"
  @Option(help: "How many commands are under way at once.")
  var depth = 1
  @Flag(
    help:
      "Poll only while commands end soon, and otherwise sleep until the device's interrupt, as a mount does.")
  var adaptive = false
  @Option(help: "How long to measure.")
  var seconds = 5.0
  @Option(
    help: ArgumentHelp("Use only the namespace's first bytes: 1G, …. All by default.", valueName: "size"))
  var size: String?
  @Flag(help: "Agree that everything on the namespace is lost.")
  var destroy = false
  @Flag(help: "Print JSON, as --output-format json does.")
  var json = false

  @OptionGroup var output: OutputOptions

  /// The largest command in bytes.
  private static let maximumBlock: UInt64 = 16 << 20
  /// The most memory of all commands under way in bytes.
  private static let maximumMemory: UInt64 = 1 << 30
  private static let maximumSeconds = 86_400.0
  private static let blockSize = UInt64(SynchronousDevice.blockSize)

  func validate() throws {
    guard (read == nil) != (write == nil) else {
      throw ValidationError("Say either --read or --write, with random or sequential")
    }
    guard write == nil || destroy else {
      throw ValidationError("--write overwrites the namespace; say --destroy if nothing on it is needed")
    }
    guard let bytes = Size.bytes(block), bytes > 0, bytes <= Self.maximumBlock, bytes % Self.blockSize == 0
    else {
      throw ValidationError("--block \(block) is no multiple of 4096 up to 16M")
    }
    guard (1..<NamespaceDevice.commandLimit).contains(depth) else {
      throw ValidationError("--depth \(depth) is not between 1 and \(NamespaceDevice.commandLimit - 1)")
    }
    guard bytes * UInt64(depth) <= Self.maximumMemory else {
      throw ValidationError(
        "\(depth) commands of \(block) bytes take more than 1 GiB; use fewer or smaller ones")
    }
    guard seconds > 0, seconds <= Self.maximumSeconds else {
      throw ValidationError("--seconds \(seconds) is not more than 0 and at most 86400")
    }
    if let size, (Size.bytes(size) ?? 0) < bytes {
      throw ValidationError("--size \(size) is no size of at least a command; write 64M or 1G")
    }
  }

  func run() throws {
    var options = ControllerOptions()
    options.queuePairs = 1
    options.queueEntries = max(depth + 1, 32)
    try Daemons.requireNone(on: target.device)
    let (controller, namespace) = try DeviceLocator.openController(
      target.device, options: options, whenWaiting: Varve.complain)
    defer { controller.close() }
    let room = controller.registerCapabilities.queueEntryLimit - 1
    guard depth <= room else {
      throw DeviceError("\(target.device): its queues hold \(room) commands; use --depth \(room) or less")
    }
    let result = try measure(controller, namespace)
    if json { print(result.json) } else { output.print(result.json, normal: result.text) }
  }

  private func measure(_ controller: Controller, _ namespace: UInt32) throws -> BenchResult {
    var plan = BenchPlan(
      operation: write == nil ? .read : .write, pattern: read ?? write ?? .random,
      blocksPerCommand: Int((Size.bytes(block) ?? 0) / Self.blockSize), depth: depth,
      duration: UInt64(seconds * 1e9), isAdaptive: adaptive,
      range: (size.flatMap(Size.bytes) ?? .max) / Self.blockSize)
    let arena = try DMAArena(frames: BenchLoop.frames(for: plan), name: "varve-bench")
    let device = try NamespaceDevice(controller: controller, namespace: namespace, arena: arena)
    defer { device.close() }
    plan.range = min(plan.range, device.blockCount)
    guard plan.range >= UInt64(plan.blocksPerCommand) else {
      throw DeviceError("\(device.name) is smaller than a command of \(block) bytes; use a smaller --block")
    }
    var loop = BenchLoop(plan, on: device)
    loop.run()
    guard loop.errno == 0 else {
      throw DeviceError(
        "\(device.name): \(device.errors.last.map(String.init(describing:)) ?? String(cString: strerror(loop.errno)))"
      )
    }
    return BenchResult(loop, of: plan, on: device.name)
  }
}
