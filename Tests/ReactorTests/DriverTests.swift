import Block
import EmulatedController
import FileProtocol
import NVMe
import PCI
import Testing

@testable import Reactor

/// The reactor over the driver and the emulated controller, with their interrupts, deadlines and doorbells.
@Suite struct DriverTests {
  private static let blocks = 4096

  @Test(arguments: [[], [("latency", "50us")], [("depth", "4")], [("iops", "50k"), ("vwc", "1")]], [1, 32])
  func everyRequestIsAnswered(options: [(String, String)], window: Int) throws {
    let layout = SlotLayout(count: 32, maximumTransfer: 128 << 10)
    let arena = try DMAArena(frames: layout.frameCount)
    let configuration = try EmulatedController.Configuration(memory: Self.blocks * 4096, options: options)
    let controller = try Controller.open(EmulatedController(configuration))
    let device = try NamespaceDevice(controller: controller, namespace: 1, arena: arena)
    let service = BlockService(slots: layout.count)
    let reactor = try Reactor(service: service, device: device, slots: layout)
    let kinds: [Operation] = [.write, .write, .read, .fsync]
    let script = (0..<400).map { number in
      var request = Request()
      request.operation = kinds[number % kinds.count]
      request.node = UInt64(number)
      return request
    }
    let channel = ScriptedChannel(script, service: service, window: window)
    #expect(reactor.serve(channel) == .unmounted)
    #expect(channel.answered.map(\.request).sorted() == Array(0..<script.count))
    #expect(channel.answered.allSatisfy { $0.error == 0 })
    #expect(reactor.inFlight == 0)
    device.close()
  }
}
