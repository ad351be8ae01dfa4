import DriverTestSupport
import EmulatedController
import NVMeSpec
import Testing

@testable import NVMe

/// Format NVM.
@Suite struct FormatTests {
  @Test func namespacesAreIdentifiedAgainAfterwards() throws {
    let machine = try TestMachine(blocks: 64, lbaSize: 4096, namespaces: 2)
    let controller = try machine.open()
    defer { controller.close() }
    try controller.format(2, as: FormatChoice(format: 0))
    #expect(controller.state == .ready)
    #expect(controller.namespaces.map(\.lbaSize) == [4096, 512])
    #expect(controller.namespaces.map(\.lbaCount) == [64, 512])
    #expect(controller.counters.resets == 1)
  }

  @Test func unsupportedFormatsAreNotSent() throws {
    let machine = try TestMachine()
    let controller = try machine.open()
    defer { controller.close() }
    #expect(throws: ControllerError.self) { try controller.format(7, as: FormatChoice(format: 0)) }
    #expect(throws: ControllerError.self) { try controller.format(1, as: FormatChoice(format: 9)) }
    let queue = try controller.makeQueuePair()
    #expect(throws: ControllerError.self) { try controller.format(1, as: FormatChoice(format: 0)) }
    controller.delete(queue)
    #expect(controller.counters.resets == 0)
    #expect(machine.device.statistics.errors == 0)
  }

  @Test func aFormatMayTakeLong() throws {
    let machine = try TestMachine()
    machine.device.faultRules = [FaultRule(admin: .formatNVM, .delay(3_600_000_000_000))]
    let controller = try machine.open()
    defer { controller.close() }
    try controller.format(1, as: FormatChoice(format: 0))
    #expect(controller.namespaces.map(\.lbaSize) == [512])
  }

  @Test(arguments: SecureErase.allCases) func theCommandSaysWhatToErase(erase: SecureErase) {
    let command = SubmissionEntry(
      formatNamespace: 3, format: 0x12, secureErase: erase.rawValue, protection: 2, protectionFirst: true,
      extendedMetadata: true)
    #expect(command.secureErase == erase.rawValue)
    #expect(command.formatIndex == 0x12)
    #expect(command.cdw10 >> 4 & 0x1f == 0b1_0101)
    #expect(command.namespace == 3)
  }
}
