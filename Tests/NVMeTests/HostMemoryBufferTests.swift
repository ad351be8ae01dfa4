import DriverTestSupport
import EmulatedController
import NVMeSpec
import Testing

@testable import NVMe

@Suite struct HostMemoryBufferTests {
  /// The emulated controller marks each page that it is lent, and refuses returned memory in which a mark is
  /// missing.
  @Test func isLentAgainAfterAResetAndTakenBackAtTheEnd() throws {
    let machine = try TestMachine { $0.hostMemory = 1 << 20 }
    let controller = try machine.open()
    #expect(controller.lentMemory == 1 << 20)
    for _ in 0..<3 {
      controller.reset()
      controller.waitForReset()
      #expect(controller.state == .ready && controller.lentMemory == 1 << 20)
    }
    controller.close()
    #expect(controller.failure == nil && machine.device.dmaFaultCount == 0)
  }

  @Test func isLimited() throws {
    let machine = try TestMachine { $0.hostMemory = 1 << 20 }
    machine.options.hostMemoryLimit = 600 << 10
    let controller = try machine.open()
    #expect(controller.lentMemory == 600 << 10)
    controller.close()
  }

  @Test(arguments: [0, 400 << 10]) func isNotLentWhereItWouldBeOfNoUse(_ limit: Int) throws {
    let machine = try TestMachine { $0.hostMemory = 1 << 20 }
    machine.options.hostMemoryLimit = limit
    let controller = try machine.open()
    #expect(controller.state == .ready && controller.lentMemory == 0)
    controller.close()
  }

  @Test func aControllerThatRefusesItWorksWithout() throws {
    let machine = try TestMachine { $0.hostMemory = 1 << 20 }
    let refusal = FaultAction.status(Status(.invalidField, doNotRetry: true))
    machine.device.faultRules = [FaultRule(admin: .setFeatures, refusal, skipping: 2, limit: 1)]
    let controller = try machine.open()
    #expect(controller.state == .ready)
    controller.close()
  }
}
