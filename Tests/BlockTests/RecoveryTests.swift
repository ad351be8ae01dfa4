import CMachine
import DriverTestSupport
import EmulatedController
import Glibc
import NVMe
import NVMeSpec
import Testing

@testable import Block

/// Recovery: from a command that does not complete to a controller that is reset, or fails.
@Suite struct RecoveryTests {
  private static let second: UInt64 = 1_000_000_000

  private func open(
    _ configure: (TestMachine) -> Void = { _ in }
  ) throws -> (TestMachine, NamespaceDevice, BlockDriver) {
    let machine = try TestMachine { $0.records = true }
    configure(machine)
    let device = try machine.openDevice()
    return (machine, device, BlockDriver(device, machine.time))
  }

  /// The counter of each kind of wrong completion; the command succeeds all the same.
  @Test(arguments: [
    FaultAction.completeAs(identifier: 0xffff), .completeAs(identifier: 77), .addCompletion(identifier: 3),
    .duplicateCompletion, .completeWithHead(200), .completeWithHead(.max), .invertPhase, .loseCompletion,
    .completeLate(31_000_000_000), .completeLate(1_000_000_000_000), .delay(1_000_000_000_000), .fatal,
    .resetItself,
  ])
  func aBrokenCompletionIsFoundAndCounted(_ fault: FaultAction) throws {
    let (machine, device, driver) = try open()
    driver.poll()
    machine.device.faultRules = [FaultRule(io: .write, fault, limit: 1)]
    #expect(driver.run(.write, block: 0, count: 1, frames: [0]) == 0)
    let counters = device.counters
    let controller = device.controller.counters
    switch fault {
    case .completeAs: #expect(counters.badCommandIDs == 1 && controller.stuckCommands == 1)
    case .addCompletion, .duplicateCompletion:
      #expect(driver.run(.read, block: 0, count: 1, frames: [0]) == 0)
      #expect(counters.badCommandIDs + device.counters.badCommandIDs > 0 && controller.resets == 0)
    case .completeWithHead: #expect(counters.badQueueHeads == 1 && controller.resets == 0)
    case .invertPhase, .loseCompletion: #expect(controller.stuckCommands == 1 && controller.resets == 1)
    case .completeLate(31_000_000_000):
      #expect(counters.timeouts == 1 && controller.commandsAborted == 1 && controller.resets == 0)
    case .completeLate, .delay: #expect(controller.commandsAborted == 1 && counters.retries == 1)
    case .fatal: #expect(controller.fatalErrors == 1 && counters.requeues == 1)
    case .resetItself: #expect(controller.lostReadiness == 1 && counters.requeues == 1)
    default: Issue.record("not looked at: \(fault)")
    }
    device.close()
    #expect(machine.device.dmaFaultCount == 0 && machine.device.mappedArenas == 0)
  }

  @Test func completionsBehindOneThatIsMissingLeadToAResetWithoutAbort() throws {
    let (machine, device, driver) = try open()
    machine.device.faultRules = [FaultRule(io: .read, .invertPhase, limit: 1)]
    for index in 0..<4 { _ = driver.submit(.read, block: UInt64(index), count: 1, frames: [UInt32(index)]) }
    #expect(driver.drain())
    #expect(driver.ends.values.allSatisfy { $0 == 0 })
    #expect(device.counters.skippedCompletions == 1 && device.controller.counters.aborts == 0)
    device.close()
  }

  @Test func anAbortThatAbortedNothingLeadsToAReset() throws {
    let (machine, device, driver) = try open { $0.options.abortTimeout = 20 * Self.second }
    machine.device.faultRules = [FaultRule(io: .write, .loseCompletion, limit: 1)]
    let start = machine.time.now
    #expect(driver.run(.write, block: 0, count: 1, frames: [0]) == 0)
    #expect(device.controller.counters.commandsAborted == 0 && device.controller.counters.resets == 1)
    #expect(machine.time.now - start < 33 * Self.second)
    device.close()
  }

  @Test func abortsAtOnceAreLimitedByACL() throws {
    let (machine, device, driver) = try open()
    machine.device.faultRules = [
      FaultRule(io: .read, .loseCompletion, limit: 20), FaultRule(admin: .abort, .loseCompletion),
    ]
    for index in 0..<20 { _ = driver.submit(.read, block: UInt64(index), count: 1, frames: [UInt32(index)]) }
    #expect(driver.drain())
    #expect(driver.ends.values.allSatisfy { $0 == 0 })
    #expect(device.controller.counters.aborts == 4 && device.controller.counters.resets == 1)
    device.close()
  }

  @Test func aControllerThatDoesNotBecomeReadyGetsAFunctionReset() throws {
    let (machine, device, driver) = try open()
    machine.device.faultRules = [
      FaultRule(io: .read, .fatal, limit: 1), FaultRule(.enable, .stuck, limit: 1),
    ]
    #expect(driver.run(.read, block: 0, count: 1, frames: [0]) == 0)
    #expect(device.controller.counters.functionResets == 1 && device.controller.counters.resets == 2)
    device.close()
  }

  @Test func aControllerThatCannotBeStoppedLosesItsAccessToMemory() throws {
    let (machine, device, driver) = try open()
    machine.device.faultRules = [
      FaultRule(io: .read, .loseCompletion), FaultRule(.disable, .stuck), FaultRule(.functionReset, .stuck),
    ]
    #expect(driver.run(.read, block: 0, count: 1, frames: [0]) == ETIMEDOUT)
    #expect(device.controller.state == .failed)
    #expect(machine.device.readConfiguration(at: 4, width: 2) & 4 == 0)
    device.close()
  }

  @Test func aCommandThatCausedNoResetSurvivesSeveral() throws {
    let (machine, device, driver) = try open()
    driver.poll()
    machine.device.faultRules = [FaultRule(io: .read, .fatal, limit: 4)]
    _ = driver.submit(.write, block: 1, count: 1, frames: [1])
    _ = driver.submit(.read, block: 0, count: 1, frames: [0])
    #expect(driver.drain())
    #expect(driver.ends == [0: 0, 1: 0])
    #expect(device.counters.requeues == 4)
    device.close()
  }

  @Test func anErrorThatTheBusReportsLeadsToAResetOfTheFunctionAndToNoError() throws {
    let (machine, device, driver) = try open()
    driver.poll()
    machine.device.faultRules = [FaultRule(io: .write, .delay(5 * Self.second), limit: 1)]
    _ = driver.submit(.write, block: 3, count: 1, frames: [0])
    device.ring()
    device.controller.handleBusError()
    // Once more while it is being reset.
    device.controller.handleBusError()
    #expect(driver.drain())
    #expect(driver.ends == [0: 0])
    let counters = device.controller.counters
    #expect(counters.busErrors == 2 && counters.resets == 1 && counters.functionResets == 1)
    device.close()
  }

  @Test func commandsOfARemovedDeviceEnd() throws {
    let (machine, device, driver) = try open()
    machine.device.surpriseRemove()
    for index in 0..<2000 { _ = driver.submit(.write, block: UInt64(index % 256), count: 1, frames: [0]) }
    #expect(driver.drain())
    #expect(driver.ends.values.allSatisfy { $0 == ENODEV })
    // A later command ends although no interrupt would wake a sleeper.
    _ = driver.submit(.read, block: 0, count: 1, frames: [0])
    device.ring()
    #expect(!device.prepareToSleep() || device.nextDeadline == 0)
    #expect(driver.drain())
    #expect(device.prepareToSleep() && device.nextDeadline == .max)
    device.close()
    #expect(machine.device.mappedArenas == 0)
  }

  @Test(arguments: [StatusCode.asymmetricAccessTransition, .asymmetricAccessInaccessible, .namespaceNotReady])
  func aStateThatPassesIsWaitedFor(_ code: StatusCode) throws {
    let machine = try TestMachine { $0.retryDelays = (0, 0, 0) }
    let device = try machine.openDevice()
    let driver = BlockDriver(device, machine.time)
    machine.device.faultRules = [FaultRule(io: .read, .status(Status(code)), limit: 5)]
    let start = machine.time.now
    #expect(driver.run(.read, block: 0, count: 1, frames: [0]) == 0)
    #expect(machine.time.now - start == 3_100_000_000)
    device.close()
  }

  @Test func aPersistentlyLostPathIsNotRetried() throws {
    let (machine, device, driver) = try open()
    machine.device.faultRules = [FaultRule(io: .read, .status(Status(.asymmetricAccessPersistentLoss)))]
    #expect(driver.run(.read, block: 0, count: 1, frames: [0]) == EIO)
    #expect(device.counters.retries == 0)
    device.close()
  }

  @Test func aRetryDelayThatIsNotEnabledIsIgnored() throws {
    let machine = try TestMachine { $0.retryDelays = (5, 5, 5) }
    machine.device.faultRules = [
      FaultRule(admin: .setFeatures, .status(Status(.invalidField, doNotRetry: true)), limit: 1)
    ]
    let device = try machine.openDevice()
    let driver = BlockDriver(device, machine.time)
    machine.device.faultRules = [
      FaultRule(io: .read, .status(Status(.writeFault, retryDelay: 1)), limit: 1)
    ]
    let start = machine.time.now
    #expect(driver.run(.read, block: 0, count: 1, frames: [0]) == 0)
    #expect(machine.time.now == start)
    device.close()
  }

  // MARK: Links that go down

  /// The time a link is down, whether that resets the controller, and whether the driver notices it, because
  /// it is longer than the driver's checking interval.
  @Test(arguments: [
    (100_000_000, false), (100_000_000, true), (3 * second, false), (3 * second, true), (20 * second, false),
    (20 * second, true), (599 * second, false), (599 * second, true),
  ])
  func aLinkThatComesBackCostsTimeAndNoCommand(duration: UInt64, resets: Bool) throws {
    let (machine, device, driver) = try open { $0.options.offlineTimeout = 600 * Self.second }
    for index in 0..<16 { Self.fill(device, frame: index) }
    for block in 0..<8 as Range<UInt64> {
      #expect(driver.run(.write, block: block, count: 1, frames: [UInt32(block)]) == 0)
    }
    machine.device.faultRules = [
      FaultRule(io: .write, .dropLink(duration, resets: resets), skipping: 3, limit: 1)
    ]
    for block in 8..<16 as Range<UInt64> {
      _ = driver.submit(.write, block: block, count: 1, frames: [UInt32(block)])
    }
    _ = driver.submit(.flush)
    let start = machine.time.now
    #expect(driver.drain())
    #expect(driver.ends.values.allSatisfy { $0 == 0 })
    #expect(machine.time.now - start < duration + 40 * Self.second)
    let isNoticed = resets || duration > machine.options.watchInterval
    #expect(device.controller.counters.lostChannels == (isNoticed ? 1 : 0))
    for block in 0..<16 as Range<UInt64> {
      #expect(driver.run(.read, block: block, count: 1, frames: [32]) == 0)
      #expect(cm_load32(device.arena.pointer(32)) == UInt32(block) + 1)
    }
    device.close()
    #expect(machine.device.dmaFaultCount == 0 && machine.device.mappedArenas == 0)
  }

  private static func fill(_ device: NamespaceDevice, frame: Int) {
    device.arena.pointer(UInt32(frame)).storeBytes(of: UInt32(frame + 1), as: UInt32.self)
  }

  @Test func aLinkThatStaysDownLosesTheController() throws {
    let (machine, device, driver) = try open { $0.options.offlineTimeout = 30 * Self.second }
    machine.device.faultRules = [
      FaultRule(io: .write, .dropLink(1000 * Self.second, resets: false), limit: 1)
    ]
    let start = machine.time.now
    #expect(driver.run(.write, block: 0, count: 1, frames: [0]) == ENODEV)
    #expect((30...32).contains((machine.time.now - start) / Self.second))
    #expect(driver.run(.read, block: 0, count: 1, frames: [0]) == ENODEV)
    device.close()
  }

  @Test func aLinkThatComesAndGoesIsWaitedForNoLonger() throws {
    let (machine, device, driver) = try open { $0.options.offlineTimeout = 30 * Self.second }
    machine.device.faultRules = [
      FaultRule(io: nil, .dropLink(2 * Self.second, resets: true), limit: 1),
      FaultRule(admin: .identify, .dropLink(2 * Self.second, resets: true)),
    ]
    let start = machine.time.now
    #expect(driver.run(.write, block: 0, count: 1, frames: [0]) == ENODEV)
    #expect((30...33).contains((machine.time.now - start) / Self.second))
    device.close()
  }

  @Test func aRemovedControllerIsNotWaitedFor() throws {
    let (machine, device, driver) = try open { $0.options.offlineTimeout = 600 * Self.second }
    machine.device.faultRules = [FaultRule(io: .write, .remove, limit: 1)]
    let start = machine.time.now
    #expect(driver.run(.write, block: 0, count: 1, frames: [0]) == ENODEV)
    #expect(machine.time.now - start < 3 * Self.second)
    device.close()
  }

  @Test func closingAnOfflineDeviceDoesNotWait() throws {
    let (machine, device, driver) = try open { $0.options.offlineTimeout = 600 * Self.second }
    #expect(driver.run(.write, block: 0, count: 1, frames: [0]) == 0)
    machine.device.show(.dropLink(1000 * Self.second, resets: false))
    let start = machine.time.now
    device.close()
    #expect(machine.time.now - start < 20 * Self.second)
    #expect(device.controller.state == .closed && machine.device.mappedArenas == 0)
  }

  @Test func aCallerSleepsWhileADeviceIsOfflineWithCompletionsLeft() throws {
    let (machine, device, driver) = try open { $0.options.offlineTimeout = 600 * Self.second }
    for index in 0..<24 { _ = driver.submit(.read, block: UInt64(index), count: 1, frames: [UInt32(index)]) }
    device.ring()
    device.controller.serviceFunction()
    machine.device.show(.dropLink(5 * Self.second, resets: false))
    machine.time.pass(2 * Self.second)
    driver.poll(limit: 4)
    #expect(device.controller.state == .offline && driver.ends.count == 4)
    #expect(device.prepareToSleep() && device.nextDeadline > machine.time.now)
    #expect(driver.drain())
    #expect(driver.ends.count == 24 && driver.ends.values.allSatisfy { $0 == 0 })
    device.close()
  }
}
