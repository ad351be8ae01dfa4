import EmulatedController
import NVMeSpec
import PCI
import Testing

@Suite("Bring-up")
struct BringUpTests {
  @Test("CC.EN makes the controller ready, and not ready again")
  func enableAndDisable() throws {
    let host = try TestHost.memory()
    #expect(host.status.ready && !host.status.fatal)
    host.disable()
    #expect(!host.status.ready)
    host.enable()
    #expect(host.status.ready)
    #expect(host.run(SubmissionEntry(identify: .controller))?.status.isSuccess == false)
  }

  @Test("an admin queue outside mapped memory is fatal at the first command")
  func unmappedAdminQueue() throws {
    let host = try TestHost.memory()
    host.disable()
    host.window.store64(0x7000_0000_0000, at: Register.adminSubmissionQueue)
    host.window.store32(0x0046_0001, at: Register.configuration)
    host.window.store32(1, at: Register.doorbells)
    #expect(host.status.fatal)
    #expect(host.controller.dmaFaultCount == 1)
    host.disable()
    #expect(!host.status.fatal)
  }

  @Test("without bus mastering nothing can be fetched")
  func busMaster() throws {
    let host = try TestHost.memory()
    host.controller.setBusMaster(false)
    #expect(host.run(SubmissionEntry(identify: .controller)) == nil)
    #expect(host.status.fatal)
  }

  @Test(
    "unsupported settings of CC are refused with CFS",
    arguments: [0x0046_0011, 0x0046_0781, 0x0046_0801] as [UInt32])
  func unsoundConfiguration(raw: UInt32) throws {
    let host = try TestHost.memory()
    host.disable()
    host.window.store32(raw, at: Register.configuration)
    #expect(host.status.fatal && !host.status.ready)
  }

  @Test(
    "a shutdown completes, normal or abrupt, enabled or not", arguments: [1, 2] as [UInt8], [true, false])
  func shutdown(notification: UInt8, isEnabled: Bool) throws {
    let host = try TestHost.memory()
    if !isEnabled { host.disable() }
    host.announceShutdown(ShutdownNotification(rawValue: notification))
    #expect(host.status.shutdown == .complete)
    host.disable()
    #expect(host.status.shutdown == .none)
    host.enable()
    #expect(host.status.ready && host.data(SubmissionEntry(identify: .controller)) != nil)
  }

  @Test("clearing SHN has no effect while the controller is enabled")
  func shutdownStays() throws {
    let host = try TestHost.memory()
    host.announceShutdown(.normal)
    host.announceShutdown(ShutdownNotification(rawValue: 0))
    #expect(host.status.shutdown == .complete && host.status.ready)
  }

  @Test("a controller that was shut down while disabled is enabled by one store")
  func enableAfterShutdown() throws {
    let host = try TestHost.memory()
    host.disable()
    host.announceShutdown(.normal)
    host.enable()
    #expect(host.status.ready && host.status.shutdown == .none)
    #expect(host.data(SubmissionEntry(identify: .controller)) != nil)
  }

  @Test("the reserved shutdown notification is ignored, and reserved bits of CC read as 0")
  func reservedConfiguration() throws {
    let host = try TestHost.memory()
    host.announceShutdown(ShutdownNotification(rawValue: 3))
    #expect(host.status.shutdown == .none && host.status.ready)
    #expect(host.data(SubmissionEntry(identify: .controller)) != nil)
    let value = host.window.load32(at: Register.configuration)
    host.window.store32(value | 0xff00_000e, at: Register.configuration)
    #expect(host.window.load32(at: Register.configuration) == value)
  }

  @Test("configuration space describes an NVMe function")
  func configurationSpace() throws {
    let host = try TestHost.memory()
    #expect(host.controller.readConfiguration(at: 8, width: 4) >> 8 == 0x01_0802)
    #expect(host.controller.readConfiguration(at: 4, width: 2) & 4 != 0)
    host.controller.writeConfiguration(0, at: 4, width: 2)
    #expect(host.run(SubmissionEntry(identify: .controller)) == nil)
    #expect(host.controller.readConfiguration(at: -1, width: 4) == .max)
    #expect(host.controller.readConfiguration(at: 4095, width: 4) == .max)
  }

  @Test("a function-level reset clears queues and registers")
  func functionReset() throws {
    let host = try TestHost.memory()
    try host.controller.reset()
    #expect(!host.status.ready)
    #expect(host.window.load32(at: Register.adminQueueAttributes) == 0)
    host.enable()
    #expect(host.status.ready)
  }

  @Test("an invalid configuration is refused")
  func refusedConfiguration() {
    #expect(throws: FunctionError.self) { try EmulatedController(.init()) }
    var configuration = EmulatedController.Configuration(namespaces: [.init(.memory(bytes: 1 << 20))])
    configuration.queueDepth = 1
    #expect(throws: FunctionError.self) { try EmulatedController(configuration) }
  }
}
