import Block
import BlockProtocol
import DriverTestSupport
import EmulatedController
import FileProtocol
import NVMe
import PCI
import TestSupport
import Testing

@testable import Reactor

/// From polling to sleep and back: a completion may come at any moment between the last poll and the sleep,
/// and none is missed.
@Suite struct WakeupTests {
  private static let hour: UInt64 = 3_600_000_000_000

  private func makeFunction(_ options: [(String, String)]) throws -> StepwiseController {
    var configuration = try EmulatedController.Configuration(memory: 1 << 20, options: options)
    configuration.mode = .stepped
    configuration.latency = 5
    return StepwiseController(try EmulatedController(configuration))
  }

  /// Only an interrupt can wake the caller in time: the driver checks its commands once an hour.
  private func openDevice(
    _ function: StepwiseController, _ time: TimeSource, arena: DMAArena
  ) throws -> NamespaceDevice {
    var options = ControllerOptions()
    options.time = time
    options.watchInterval = Self.hour
    options.commandTimeout = Self.hour
    let device = try NamespaceDevice(
      controller: Controller.open(function, options: options), namespace: 1, arena: arena)
    var completions: [BlockCompletion] = []
    device.poll(&completions, limit: 1)
    return device
  }

  /// The steps of every caller that sleeps on the device's interrupt, with steps of the controller at random
  /// moments in between: while the caller sleeps the controller continues, and has to wake it with the first
  /// completion.
  @Test(arguments: [1, 2, 3, 4] as [UInt64], [[], [("shadow", "1")], [("cmb", "64k")]])
  func noCompletionIsSleptThrough(seed: UInt64, options: [(String, String)]) throws {
    var random = SplitMix(seed: seed)
    let function = try makeFunction(options)
    let device = try openDevice(
      function, TimeSource(now: { function.time }, sleep: { _ in function.step() }),
      arena: DMAArena(frames: 8))
    var epoll = try EpollSet()
    epoll.addEdge(try #require(device.interruptDescriptor))
    var frames = (0..<8).map { UInt32($0) }
    var completions: [BlockCompletion] = []
    var (polledOn, refused, slept, submitted) = (0, 0, 0, 0)
    // Often enough that a step falls into every gap, rarely enough that commands stay in flight over some.
    function.moment = { if Int.random(in: 0..<9, using: &random) == 0 { function.step() } }
    for _ in 0..<1_000 {
      completions.removeAll()
      let count = Int.random(in: 1...4, using: &random)
      for index in 0..<count {
        #expect(
          device.submit(
            BlockCommand(.read, block: UInt64(index), count: 1, frames: &frames, tag: UInt64(index))))
      }
      // Otherwise preparing to sleep rings the doorbell.
      if Bool.random(using: &random) { device.ring() }
      while completions.count < count {
        function.moment()
        device.poll(&completions, limit: Int.random(in: 1...4, using: &random))
        function.moment()
        guard completions.count < count else { break }
        if Int.random(in: 0..<3, using: &random) == 0 {
          polledOn += 1
          continue
        }
        guard device.prepareToSleep() else {
          refused += 1
          continue
        }
        function.moment()
        guard device.nextDeadline > 0 else {
          refused += 1
          continue
        }
        function.moment()
        var isAwake = epoll.wait(timeout: 0) > 0
        while !isAwake, function.isBusy {
          function.step()
          isAwake = epoll.wait(timeout: 0) > 0
        }
        if !isAwake { isAwake = epoll.wait(timeout: 0) > 0 }
        try #require(isAwake, "missed a completion")
        slept += 1
      }
      submitted += count
    }
    // Each case has occurred many times.
    #expect(polledOn > 100 && refused > 20 && slept > 100)
    #expect(device.counters.completed == submitted)
    function.moment = {}
    device.close()
  }

  /// The reactor itself. If it missed a completion, it would sleep for an hour.
  @Test(.timeLimit(.minutes(2)), arguments: [1, 2, 3, 4] as [UInt64], [1, 3])
  func theReactorComesBackFromEverySleep(seed: UInt64, window: Int) throws {
    var random = SplitMix(seed: seed)
    let function = try makeFunction([])
    let layout = SlotLayout(count: 8, maximumTransfer: 4096)
    let device = LateDevice(
      try openDevice(function, .system, arena: DMAArena(frames: layout.frameCount)), function)
    let service = BlockService(slots: layout.count)
    let reactor = try Reactor(service: service, device: device, slots: layout)
    reactor.spin = seed % 2 == 0 ? 0 : 2_000
    function.moment = { if Int.random(in: 0..<12, using: &random) == 0 { function.step() } }
    let script = (0..<1_500).map { number in
      var request = Request()
      request.operation = number % 3 == 0 ? .write : .read
      request.node = UInt64(number % 200)
      return request
    }
    let channel = ScriptedChannel(script, service: service, window: window)
    #expect(reactor.serve(channel) == .unmounted)
    #expect(channel.answered.map(\.request).sorted() == Array(0..<script.count))
    #expect(channel.answered.allSatisfy { $0.error == 0 })
    // The number depends on timing where the reactor polls before it sleeps.
    #expect(seed % 2 == 1 || device.lateCompletions > 100)
    function.moment = {}
    device.close()
  }
}

/// A device whose controller also runs at random moments around every call, and always completes a command at
/// the last one: after the caller has polled for completions and read the deadline, before it sleeps.
private final class LateDevice: BlockDevice {
  private let device: NamespaceDevice
  private let function: StepwiseController
  /// How often a command was completed at that moment.
  private(set) var lateCompletions = 0

  init(_ device: NamespaceDevice, _ function: StepwiseController) {
    self.device = device
    self.function = function
  }

  var nextDeadline: UInt64 {
    let deadline = device.nextDeadline
    if function.isBusy {
      function.step()
      lateCompletions += 1
    }
    return deadline
  }

  func submit(_ command: BlockCommand) -> Bool { around { device.submit(command) } }
  func ring() { around { device.ring() } }
  func poll(_ completions: inout [BlockCompletion], limit: Int) {
    function.moment()
    device.poll(&completions, limit: limit)
    function.moment()
  }
  func prepareToSleep() -> Bool { around { device.prepareToSleep() } }

  private func around<Result>(_ call: () -> Result) -> Result {
    function.moment()
    defer { function.moment() }
    return call()
  }

  var name: String { device.name }
  var blockCount: UInt64 { device.blockCount }
  var hasVolatileCache: Bool { device.hasVolatileCache }
  var canDiscard: Bool { device.canDiscard }
  var frameMemory: UnsafeMutableRawBufferPointer { device.frameMemory }
  var interruptDescriptor: Int32? { device.interruptDescriptor }
  var eventDescriptor: Int32? { device.eventDescriptor }
  var removalDescriptor: Int32? { device.removalDescriptor }
  func close() { device.close() }
}
