import DriverTestSupport
import EmulatedController
import NVMeSpec
import Testing

@testable import NVMe

/// Admin commands of non-blocking callers.
@Suite struct AdminRequestTests {
  private let smart = SubmissionEntry(getLogPage: .smart, length: SMARTLog.size)

  /// Polls for the end of the outstanding request, for long enough.
  private func result(_ controller: Controller, _ machine: TestMachine) throws -> [UInt8]? {
    for _ in 0..<100 {
      if let (_, data) = try controller.requestResult() { return data }
      machine.time.pass(1_000_000)
    }
    return nil
  }

  @Test func returnsData() throws {
    let machine = try TestMachine()
    let controller = try machine.open()
    #expect(controller.canRequest)
    try controller.request(smart, receiving: SMARTLog.size)
    #expect(!controller.canRequest)
    #expect(throws: ControllerError.self) { try controller.request(smart) }
    let data = try #require(try result(controller, machine))
    #expect(data == (try controller.readLog(.smart, length: SMARTLog.size)))
    #expect(try controller.requestResult() == nil)
    controller.close()
    #expect(machine.device.dmaFaultCount == 0)
  }

  @Test func runsBesideBlockingCommands() throws {
    let machine = try TestMachine()
    let controller = try machine.open()
    try controller.request(SubmissionEntry(identify: .controller), receiving: IdentifyStructure.size)
    let page = try controller.readLog(.smart, length: SMARTLog.size)
    let data = try #require(try result(controller, machine))
    #expect(data.withUnsafeBytes { IdentifyController(decoding: $0) } == controller.identity)
    #expect(page.count == SMARTLog.size)
    controller.close()
  }

  @Test func reportsAnErrorStatus() throws {
    let machine = try TestMachine()
    let controller = try machine.open()
    try controller.request(SubmissionEntry(getLogPage: LogPage(rawValue: 0xfe), length: 4), receiving: 4)
    #expect(throws: ControllerError.self) { try result(controller, machine) }
    #expect(controller.canRequest)
    controller.close()
  }

  @Test func aResetEndsIt() throws {
    let machine = try TestMachine()
    let controller = try machine.open()
    machine.device.faultRules = [FaultRule(admin: .getLogPage, .loseCompletion, limit: 1)]
    try controller.request(smart, receiving: SMARTLog.size)
    #expect(try controller.requestResult() == nil)
    machine.device.faultRules = []
    controller.reset()
    controller.waitForReset()
    #expect(throws: ControllerError.self) { try controller.requestResult() }
    try controller.request(smart, receiving: SMARTLog.size)
    #expect(try result(controller, machine) != nil)
    controller.close()
  }

  @Test func oneThatDoesNotCompleteIsAbandonedUntilAReset() throws {
    let machine = try TestMachine()
    let controller = try machine.open()
    machine.device.faultRules = [FaultRule(admin: .getLogPage, .loseCompletion, limit: 1)]
    try controller.request(smart, receiving: SMARTLog.size)
    machine.time.pass(controller.options.adminTimeout + 1)
    #expect(throws: ControllerError.self) { try controller.requestResult() }
    // The controller may still write to the page.
    #expect(!controller.canRequest)
    machine.device.faultRules = []
    controller.reset()
    controller.waitForReset()
    #expect(controller.canRequest)
    controller.close()
  }
}
