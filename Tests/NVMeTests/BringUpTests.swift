import DriverTestSupport
import EmulatedController
import NVMeSpec
import Testing

@testable import NVMe

@Suite struct BringUpTests {
  @Test func comesUpAndIdentifiesTheController() throws {
    let machine = try TestMachine(blocks: 64, lbaSize: 512, namespaces: 3)
    let controller = try machine.open()
    #expect(controller.state == .ready)
    #expect(controller.namespaces.map(\.identifier) == [1, 2, 3])
    #expect(controller.namespaces.allSatisfy { $0.lbaCount == 512 && $0.lbaSize == 512 })
    #expect(controller.namespaces.allSatisfy { $0.obstacle == nil })
    #expect(controller.capabilities.hasVolatileCache)
    #expect(controller.capabilities.canDeallocate)
    #expect(controller.options.queuePairs == 8 && controller.queuePairLimit == 8)
    controller.close()
    #expect(controller.state == .closed)
    #expect(machine.device.dmaFaultCount == 0)
  }

  /// After a reset too, which clears both.
  @Test(arguments: [false, true]) func setsTimestampAndHostIdentifier(afterReset: Bool) throws {
    let machine = try TestMachine()
    let controller = try machine.open()
    if afterReset {
      controller.reset()
      controller.waitForReset()
    }
    func feature(_ feature: Feature, _ value: UInt32, _ size: Int) throws -> [UInt8] {
      try controller.request(SubmissionEntry(getFeature: feature, value: value), receiving: size)
      for _ in 0..<100 {
        if let (_, data) = try controller.requestResult() { return data }
        machine.time.pass(1_000_000)
      }
      return []
    }
    let time = try feature(.timestamp, 0, TimestampValue.size).withUnsafeBytes {
      TimestampValue(decoding: $0)
    }
    let now = TimeSource.millisecondsSince1970
    #expect(time.isSet && now - min(now, time.milliseconds) < 60_000)
    #expect(try feature(.hostIdentifier, 1, 16) == HostIdentifier.machine ?? [UInt8](repeating: 0, count: 16))
    controller.close()
  }

  @Test func disablesAControllerThatItFindsEnabled() throws {
    let machine = try TestMachine()
    let first = try machine.open()
    let resets = machine.device.statistics.resets
    // A second driver, as after a crash of the first one.
    let second = try machine.open()
    #expect(second.state == .ready)
    #expect(machine.device.statistics.resets > resets)
    second.close()
    _ = first
  }

  @Test func reportsWhatAControllerLacks() throws {
    let machine = try TestMachine { $0.queueDepth = 2 }
    let controller = try machine.open()
    let queue = try controller.makeQueuePair()
    #expect(queue.depth == 1)
    controller.delete(queue)
    controller.close()
  }

  @Test func grantsNoMoreQueuePairsThanThereAre() throws {
    let machine = try TestMachine { $0.queuePairs = 2 }
    let controller = try machine.open()
    let first = try controller.makeQueuePair()
    let second = try controller.makeQueuePair()
    #expect(throws: ControllerError.self) { _ = try controller.makeQueuePair() }
    controller.delete(first)
    let third = try controller.makeQueuePair()
    #expect(third.identifier == 1)
    controller.delete(second)
    controller.delete(third)
    controller.close()
    #expect(machine.device.dmaFaultCount == 0)
  }

  @Test func givesUpWhenTheControllerNeverBecomesReady() throws {
    let machine = try TestMachine()
    machine.device.faultRules = [FaultRule(.enable, .stuck)]
    let start = machine.time.now
    let error = #expect(throws: ControllerError.self) { try machine.open() }
    guard case .notReady(let limit) = error?.reason else {
      Issue.record("unexpected: \(String(describing: error))")
      return
    }
    #expect(error?.state == .enabling)
    #expect(machine.time.now - start >= limit && machine.time.now - start < limit + 1_000_000_000)
  }

  @Test func givesUpOnAFatalError() throws {
    let machine = try TestMachine()
    machine.device.faultRules = [FaultRule(.enable, .fatal)]
    let error = #expect(throws: ControllerError.self) { try machine.open() }
    guard case .fatal = error?.reason else {
      Issue.record("unexpected: \(String(describing: error))")
      return
    }
  }

  @Test func resetsTheFunctionOfAControllerThatDoesNotStop() throws {
    let machine = try TestMachine()
    let first = try machine.open()
    machine.device.faultRules = [FaultRule(.disable, .stuck, limit: 1)]
    let second = try machine.open()
    #expect(second.state == .ready)
    second.close()
    _ = first
  }

  static let needed: [AdminOpcode] = [.identify, .setFeatures]

  @Test(arguments: needed) func givesUpWhenACommandIsLost(_ opcode: AdminOpcode) throws {
    let machine = try TestMachine()
    machine.device.faultRules = [FaultRule(admin: opcode, .loseCompletion)]
    let error = #expect(throws: ControllerError.self) { try machine.open() }
    guard case .commandTimeout = error?.reason else {
      Issue.record("unexpected: \(String(describing: error))")
      return
    }
    #expect(machine.device.dmaFaultCount == 0)
  }

  @Test func noticesARemovalAtEachCommand() throws {
    for skipped in 0..<12 {
      let machine = try TestMachine()
      machine.device.faultRules = [FaultRule(admin: nil, .remove, skipping: skipped, limit: 1)]
      let controller: Controller
      do {
        controller = try machine.open()
      } catch let error as ControllerError {
        #expect(error.isRemoved)
        continue
      }
      controller.close()
    }
  }

  @Test func survivesAnErrorStatusOfAnyCommand() throws {
    for skipped in 0..<12 {
      let machine = try TestMachine()
      let status = Status(.internalError, doNotRetry: true)
      machine.device.faultRules = [FaultRule(admin: nil, .status(status), skipping: skipped, limit: 1)]
      do {
        try machine.open().close()
      } catch let error as ControllerError {
        guard case .command(let command) = error.reason else {
          Issue.record("unexpected: \(error)")
          continue
        }
        #expect(command.status == status)
        #expect(command.errno == 5)
      }
      #expect(machine.device.dmaFaultCount == 0)
    }
  }

  @Test func refusesARemovedDevice() throws {
    let machine = try TestMachine()
    machine.device.surpriseRemove()
    let error = #expect(throws: ControllerError.self) { try machine.open() }
    #expect(error?.isRemoved == true)
  }

  @Test func waitsForAShutdownNoLongerThanItMay() throws {
    let machine = try TestMachine()
    let controller = try machine.open()
    machine.device.faultRules = [FaultRule(.shutdown, .stuck)]
    let start = machine.time.now
    controller.close()
    #expect(controller.state == .closed)
    #expect(machine.time.now - start < 70_000_000_000)
  }

  @Test func recordsEventsAndReadsLogs() throws {
    let machine = try TestMachine()
    let controller = try machine.open()
    var queue = try controller.makeQueuePair()
    // A tail beyond the end of the queue.
    controller.registers.store32(60_000, at: Doorbell.submissionTail(queue: 1, stride: 0))
    controller.poll(&queue, limit: 1)
    #expect(controller.events.entries.first == .invalidDoorbellValue)
    let smart = try controller.readLog(.smart, length: SMARTLog.size)
    #expect(smart.count == SMARTLog.size)
    controller.delete(queue)
    controller.close()
  }
}
