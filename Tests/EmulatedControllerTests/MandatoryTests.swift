import EmulatedController
import NVMeSpec
import Testing

@Suite("Mandatory commands, features and log pages")
struct MandatoryTests {
  @Test("the registers have the values that the specification requires of a PCIe controller")
  func registers() throws {
    let host = try TestHost.memory()
    let capabilities = host.capabilities
    #expect(capabilities.nvmCommandSet && capabilities.contiguousQueuesRequired)
    #expect(capabilities.timeout > 0 && capabilities.queueEntryLimit >= 2)
    #expect(capabilities.minimumPageSize <= capabilities.maximumPageSize)
    // Optional registers that CAP does not offer.
    for offset in [
      Register.subsystemReset, Register.memoryBufferLocation, Register.memoryBufferSize,
      Register.bootPartitionInformation, Register.subsystemShutdown, Register.readyTimeouts,
    ] {
      #expect(host.window.load32(at: offset) == 0)
    }
    // The admin queue's registers keep what the controller was enabled with.
    let attributes = host.window.load32(at: Register.adminQueueAttributes)
    host.window.store32(0, at: Register.adminQueueAttributes)
    #expect(host.window.load32(at: Register.adminQueueAttributes) == attributes)
  }

  @Test("every mandatory feature has its current, default, saved value and its capabilities")
  func features() throws {
    let host = try TestHost.memory()
    for feature in [
      Feature.arbitration, .powerManagement, .temperatureThreshold, .errorRecovery, .numberOfQueues,
      .interruptCoalescing, .interruptVectorConfiguration, .writeAtomicityNormal,
      .asynchronousEventConfiguration,
    ] {
      let namespace: UInt32 = feature == .errorRecovery ? 1 : 0
      for selection in UInt8(0)...3 {
        let entry = SubmissionEntry(
          getFeature: feature, select: FeatureSelection(rawValue: selection), namespace: namespace)
        #expect(host.status(entry).isSuccess, "\(feature), selection \(selection)")
      }
      let reserved = SubmissionEntry(
        getFeature: feature, select: FeatureSelection(rawValue: 4), namespace: namespace)
      #expect(host.status(reserved).code == .invalidField)
      let saved = SubmissionEntry(setFeature: feature, value: 0, namespace: namespace, save: true)
      #expect(host.status(saved).code == .featureNotSaveable)
    }
  }

  @Test("every mandatory structure of Identify and every mandatory log page is supported")
  func structures() throws {
    let host = try TestHost.memory()
    for structure in [
      IdentifyStructure.controller, .namespace, .activeNamespaces, .namespaceDescriptors,
    ] {
      let namespace: UInt32 = structure == .controller || structure == .activeNamespaces ? 0 : 1
      #expect(host.data(SubmissionEntry(identify: structure, namespace: namespace)) != nil)
    }
    for namespace in [.max - 1, .max] as [UInt32] {
      let list = SubmissionEntry(identify: .activeNamespaces, namespace: namespace)
      #expect(host.status(list).code == .invalidNamespaceOrFormat)
    }
    for log in [LogPage.error, .smart, .firmwareSlots] {
      #expect(host.data(SubmissionEntry(getLogPage: log, length: 512), 512) != nil)
    }
    let page = try #require(host.data(SubmissionEntry(identify: .controller)))
    let identity = IdentifyController(decoding: page)
    #expect(identity.controllerType == 1 && identity.subsystemName.hasPrefix("nqn.2014-08.org.nvmexpress"))
    #expect(identity.warningTemperature > 0 && identity.criticalTemperature > identity.warningTemperature)
    #expect(identity.abortLimit >= 3 && identity.asynchronousEventLimit >= 3)
  }

  @Test("admin commands with SGLs or fused are refused, and so is an unknown opcode")
  func adminCommands() throws {
    let host = try TestHost.memory()
    let identify = SubmissionEntry(identify: .controller)
    var fused = identify
    fused.fused = 1
    var withSGL = identify
    withSGL.setSGL(address: host.arena.address(host.allocate()), length: 4096)
    for entry in [fused, withSGL] { #expect(host.status(entry).code == .invalidField) }
    for opcode in [
      AdminOpcode.keepAlive, .firmwareCommit, .namespaceManagement, .securitySend, .doorbellBufferConfig,
    ] {
      #expect(host.status(SubmissionEntry(opcode)) == Status(.invalidOpcode, doNotRetry: true))
    }
    #expect(host.run(SubmissionEntry(abort: 5, queue: 0))?.result == 1)
  }
}
