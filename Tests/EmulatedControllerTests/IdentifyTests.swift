import EmulatedController
import NVMeSpec
import Testing

@Suite("Identify, features and logs")
struct IdentifyTests {
  @Test("Identify Controller reports the configuration")
  func controller() throws {
    let host = try TestHost.memory {
      $0.serialNumber = "ABC123"
      $0.maximumTransfer = 3
      $0.sgl = false
    }
    let page = try #require(host.data(SubmissionEntry(identify: .controller)))
    let identity = IdentifyController(decoding: page)
    #expect(identity.serialNumber == "ABC123")
    #expect(identity.maximumTransferBytes(minimumPageSize: 0) == 32_768)
    #expect(identity.hasVolatileWriteCache && !identity.sgl.supported)
    #expect(identity.namespaceCount == 1 && identity.version == Version(1, 4))
    #expect(identity.submissionEntrySizes == 0x66 && identity.completionEntrySizes == 0x44)
    #expect(identity.ioCommands.contains([.datasetManagement, .writeZeroes]))
  }

  @Test("namespaces of both block sizes are listed with their formats")
  func namespaces() throws {
    let host = try TestHost.memory {
      $0.namespaces = [
        .init(.memory(bytes: 1 << 20), blockSize: 4096), .init(.memory(bytes: 2 << 20), blockSize: 512),
      ]
    }
    let list = try #require(host.data(SubmissionEntry(identify: .activeNamespaces)))
    #expect(NamespaceList(decoding: list).identifiers == [1, 2])
    let rest = try #require(host.data(SubmissionEntry(identify: .activeNamespaces, namespace: 1)))
    #expect(NamespaceList(decoding: rest).identifiers == [2])
    var identifiers: Set<[UInt8]> = []
    for (namespace, blocks, size) in [(UInt32(1), UInt64(256), 4096), (2, 4096, 512)] {
      let page = try #require(host.data(SubmissionEntry(identify: .namespace, namespace: namespace)))
      let identity = IdentifyNamespace(decoding: page)
      #expect(identity.size == blocks && identity.format?.blockSize == size)
      #expect(identity.deallocatedReadsZero)
      let entry = SubmissionEntry(identify: .namespaceDescriptors, namespace: namespace)
      let descriptors = NamespaceDescriptor.decodeList(try #require(host.data(entry)))
      let uuid = try #require(descriptors.first { $0.type == NamespaceDescriptor.uuidType })
      #expect(uuid.value.count == 16)
      identifiers.insert(uuid.value)
    }
    #expect(identifiers.count == 2)
    #expect(
      host.status(SubmissionEntry(identify: .namespace, namespace: 3)).code == .invalidNamespaceOrFormat)
    for structure in [IdentifyStructure.namespace, .allocatedNamespace] {
      let all = SubmissionEntry(identify: structure, namespace: SubmissionEntry.allNamespaces)
      #expect(host.status(all).code == .invalidNamespaceOrFormat)
    }
    // 1Ch and the structures of a command set came with version 2.0.
    for structure in [0x77, 0x05, 0x06, 0x08, 0x1c] as [UInt8] {
      #expect(host.status(SubmissionEntry(identify: .init(rawValue: structure))).code == .invalidField)
    }
  }

  @Test("vendor and OUI are the same wherever they are reported")
  func vendor() throws {
    let host = try TestHost.memory()
    let page = try #require(host.data(SubmissionEntry(identify: .controller)))
    let identity = IdentifyController(decoding: page)
    let ids = host.controller.readConfiguration(at: 0x2c, width: 4)
    #expect(UInt32(identity.vendor) == host.controller.readConfiguration(at: 0, width: 2))
    #expect(UInt32(identity.subsystemVendor) == ids & 0xffff && identity.vendor != 0)
    let other = try #require(host.data(SubmissionEntry(identify: .namespace, namespace: 1)))
    let nguid = IdentifyNamespace(decoding: other).nguid
    let organization = nguid[8..<11].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
    #expect(organization == identity.organization && organization != 0)
    let list = try #require(host.data(SubmissionEntry(identify: .namespaceDescriptors, namespace: 1)))
    let descriptors = NamespaceDescriptor.decodeList(list)
    #expect(descriptors.first { $0.type == NamespaceDescriptor.nguidType }?.value == nguid)
  }

  @Test("Number of Queues grants up to the configured number, and only before queues exist")
  func queueCounts() throws {
    let host = try TestHost.memory { $0.queuePairs = 3 }
    let asked = QueueCounts(submission: 2, completion: 64)
    let completion = host.run(SubmissionEntry(setFeature: .numberOfQueues, value: asked.rawValue))
    let granted = QueueCounts(rawValue: completion?.result ?? 0)
    #expect(granted.submission == 2 && granted.completion == 3)
    let memory = host.arena.address(host.allocate())
    let beyond = SubmissionEntry(createSubmissionQueue: 3, entries: 2, at: memory, completionQueue: 1)
    #expect(host.status(beyond).code == .invalidQueueIdentifier)
    _ = host.makeQueue()
    let late = host.status(SubmissionEntry(setFeature: .numberOfQueues, value: asked.rawValue))
    #expect(late.code == .commandSequenceError)
    let impossible = host.status(SubmissionEntry(setFeature: .numberOfQueues, value: .max))
    #expect(impossible.code == .invalidField)
  }

  @Test("features keep their value until a reset")
  func features() throws {
    let host = try TestHost.memory()
    #expect(host.run(SubmissionEntry(getFeature: .volatileWriteCache))?.result == 1)
    #expect(host.status(SubmissionEntry(setFeature: .volatileWriteCache, value: 0)).isSuccess)
    #expect(host.run(SubmissionEntry(getFeature: .volatileWriteCache))?.result == 0)
    #expect(host.run(SubmissionEntry(getFeature: .volatileWriteCache, select: .defaultValue))?.result == 1)
    let saved = host.status(SubmissionEntry(setFeature: .volatileWriteCache, value: 0, save: true))
    #expect(saved.code == .featureNotSaveable)
    #expect(host.status(SubmissionEntry(getFeature: .init(rawValue: 0xc5))).code == .invalidField)
    host.disable()
    host.enable()
    #expect(host.run(SubmissionEntry(getFeature: .volatileWriteCache))?.result == 1)
  }

  @Test("without a volatile cache its feature is not supported")
  func noCache() throws {
    let host = try TestHost.memory { $0.volatileWriteCache = false }
    let page = try #require(host.data(SubmissionEntry(identify: .controller)))
    #expect(!IdentifyController(decoding: page).hasVolatileWriteCache)
    #expect(host.status(SubmissionEntry(getFeature: .volatileWriteCache)).code == .invalidField)
  }

  @Test("Host Behavior Support reads back as written")
  func hostBehavior() throws {
    let host = try TestHost.memory()
    let frame = host.allocate()
    HostBehavior(advancedRetry: true).encode(into: host.bytes(frame, HostBehavior.size))
    var entry = SubmissionEntry(setFeature: .hostBehaviorSupport, value: 0)
    entry.prp1 = host.arena.address(frame)
    #expect(host.status(entry).isSuccess)
    let page = try #require(host.data(SubmissionEntry(getFeature: .hostBehaviorSupport), HostBehavior.size))
    #expect(HostBehavior(decoding: page).advancedRetry)
  }

  @Test("a failed command is in the error log, and counted by SMART")
  func errorLog() throws {
    let host = try TestHost.memory()
    let queue = host.makeQueue()
    let entry = host.transfer(.read, block: 1 << 40, count: 1, frame: host.allocate())
    #expect(host.status(entry, queue) == Status(.lbaOutOfRange, doNotRetry: true))
    let log = try #require(host.data(SubmissionEntry(getLogPage: .error, length: 4096)))
    let newest = ErrorLogEntry(decoding: log)
    #expect(newest.count == 1 && newest.block == 1 << 40 && newest.submissionQueue == 1)
    #expect(newest.status.code == .lbaOutOfRange && newest.namespace == 1)
    let smart = try #require(host.data(SubmissionEntry(getLogPage: .smart, length: 512), 512))
    #expect(SMARTLog(decoding: smart).errorLogEntries == 1)
  }

  @Test("log pages: firmware, command effects, an unknown one, an offset")
  func logs() throws {
    let host = try TestHost.memory()
    let firmware = try #require(host.data(SubmissionEntry(getLogPage: .firmwareSlots, length: 512), 512))
    #expect(FirmwareSlotLog(decoding: firmware).activeSlot == 1)
    let effects = try #require(host.data(SubmissionEntry(getLogPage: .commandEffects, length: 4096)))
    #expect(effects[1024 + 4] & 1 == 1)
    let part = SubmissionEntry(getLogPage: .commandEffects, length: 64, offset: 1024)
    #expect(try #require(host.data(part, 64))[4] & 1 == 1)
    #expect(
      host.status(SubmissionEntry(getLogPage: .init(rawValue: 0xee), length: 64)).code == .invalidLogPage)
    let beyond = SubmissionEntry(getLogPage: .smart, length: 64, offset: 1 << 40)
    #expect(host.status(beyond).code == .invalidField)
  }

  @Test("an asynchronous event is reported once, until its log page is read")
  func asynchronousEvents() throws {
    let host = try TestHost.memory()
    for _ in 0..<4 { #expect(host.run(SubmissionEntry(.asynchronousEventRequest)) == nil) }
    let tooMany = host.status(SubmissionEntry(.asynchronousEventRequest))
    #expect(tooMany.code == .asynchronousEventLimitExceeded)
    host.window.store32(1, at: Doorbell.submissionTail(queue: 9, stride: 0))
    let event = AsynchronousEvent(rawValue: try #require(host.poll(host.admin)).result)
    #expect(event == .invalidDoorbellRegister)
    host.window.store32(1 << 20, at: Doorbell.submissionTail(queue: 0, stride: 0))
    #expect(host.poll(host.admin) == nil)
    _ = try #require(host.data(SubmissionEntry(getLogPage: .error, length: 64), 64))
    host.window.store32(1 << 20, at: Doorbell.submissionTail(queue: 0, stride: 0))
    let second = AsynchronousEvent(rawValue: try #require(host.poll(host.admin)).result)
    #expect(second == .invalidDoorbellValue)
  }
}
