import EmulatedController
import NVMeSpec
import Testing

@Suite("Log pages")
struct LogTests {
  @Test("a log page of the controller is not read for a namespace")
  func scope() throws {
    let host = try TestHost.memory()
    let page = try #require(host.data(SubmissionEntry(identify: .controller)))
    #expect(IdentifyController(decoding: page).logPageAttributes & 1 == 0)
    for log in [LogPage.smart, .error, .commandEffects] {
      let one = SubmissionEntry(getLogPage: log, namespace: 1, length: 512)
      #expect(host.status(one) == Status(.invalidField, doNotRetry: true))
      for namespace in [0, SubmissionEntry.allNamespaces] {
        let entry = SubmissionEntry(getLogPage: log, namespace: namespace, length: 512)
        #expect(host.data(entry, 512) != nil)
      }
    }
  }

  @Test("log pages of version 2.0 are not supported")
  func version() throws {
    let host = try TestHost.memory()
    #expect(host.window.load32(at: Register.version) == Version(1, 4).rawValue)
    let page = try #require(host.data(SubmissionEntry(identify: .controller)))
    let identity = IdentifyController(decoding: page)
    // LPA bit 5 reports the Supported Log Pages log.
    #expect(identity.version == Version(1, 4) && identity.logPageAttributes & 1 << 5 == 0)
    let supported = SubmissionEntry(getLogPage: .supported, length: 1024)
    #expect(host.status(supported).code == .invalidLogPage)
    #expect(!host.capabilities.readyWithMedia && !host.capabilities.readyIndependentOfMedia)
    #expect(!host.capabilities.subsystemShutdownSupported)
  }

  /// Every opcode is tried: one that succeeds, or fails with anything but Invalid Command Opcode, is
  /// supported.
  @Test("the effects log lists exactly the supported commands", arguments: [true, false])
  func effects(isRich: Bool) throws {
    let host = try TestHost.memory {
      $0.shadowDoorbells = isRich
      if !isRich { $0.ioCommands = [.writeZeroes] }
    }
    let entry = SubmissionEntry(getLogPage: .commandEffects, length: CommandEffectsLog.size)
    let log = CommandEffectsLog(decoding: try #require(host.data(entry)))
    let queue = host.makeQueue()
    for opcode in UInt8.min...UInt8.max {
      let kind = AdminOpcode(rawValue: opcode)
      // Its completion comes with an event.
      if kind != .asynchronousEventRequest {
        let code = host.status(SubmissionEntry(opcode: opcode, namespace: 77)).code
        #expect((log.admin[kind] != nil) == (code != .invalidOpcode), "admin \(opcode)")
      }
      let code = host.status(SubmissionEntry(opcode: opcode, namespace: 77), queue).code
      #expect((log.io[IOOpcode(rawValue: opcode)] != nil) == (code != .invalidOpcode), "I/O \(opcode)")
    }
    #expect(log.admin[.asynchronousEventRequest] != nil)
    #expect((log.admin[.doorbellBufferConfig] != nil) == isRich)
    #expect(log.admin[.formatNVM] == [.supported, .changesData, .changesNamespace])
  }

  @Test("more changed namespaces than the list holds are reported as all")
  func tooManyChanges() throws {
    let host = try TestHost.memory()
    for identifier in 1...1025 as ClosedRange<UInt32> {
      host.controller.reportChange(ofNamespace: identifier)
    }
    let entry = SubmissionEntry(getLogPage: .changedNamespaces, length: 4096)
    let log = ChangedNamespaceLog(decoding: try #require(host.data(entry)))
    #expect(log.isOverflow)
    #expect(!ChangedNamespaceLog(decoding: try #require(host.data(entry))).isOverflow)
  }

  @Test("an event waits until its own log page was read")
  func ownPage() throws {
    let host = try TestHost.memory()
    let events = SubmissionEntry(setFeature: .asynchronousEventConfiguration, value: 3 << 8)
    #expect(host.status(events).isSuccess)
    for _ in 0..<2 { host.place(SubmissionEntry(.asynchronousEventRequest), host.admin) }
    host.ring(host.admin)
    host.controller.reportChange(ofNamespace: 1)
    #expect(host.poll(host.admin) != nil)
    _ = host.data(SubmissionEntry(getLogPage: .firmwareSlots, length: 512), 512)
    host.controller.reportChange(ofNamespace: 1)
    #expect(host.poll(host.admin) == nil)
    _ = host.data(SubmissionEntry(getLogPage: .changedNamespaces, length: 4096))
    host.controller.reportChange(ofNamespace: 1)
    #expect(host.poll(host.admin) != nil)
  }
}
