import EmulatedController
import Glibc
import NVMeSpec
import PCI
import Testing

@Suite("Features")
struct FeatureTests {
  private func get(_ host: TestHost, _ entry: SubmissionEntry) -> UInt32? {
    host.run(entry).flatMap { $0.status.isSuccess ? $0.result : nil }
  }

  @Test("Power Management has one power state")
  func powerStates() throws {
    let host = try TestHost.memory()
    #expect(host.status(SubmissionEntry(setFeature: .powerManagement, value: 0)).isSuccess)
    for state in [1, 31] as [UInt32] {
      let entry = SubmissionEntry(setFeature: .powerManagement, value: state)
      #expect(host.status(entry) == Status(.invalidField, doNotRetry: true))
    }
    #expect(get(host, SubmissionEntry(getFeature: .powerManagement)) == 0)
  }

  @Test("Interrupt Vector Configuration keeps a value for each vector")
  func interruptVectors() throws {
    var configuration = EmulatedController.Configuration(namespaces: [.init(.memory(bytes: 1 << 20))])
    configuration.mode = .stepped
    configuration.queuePairs = 3
    let host = try TestHost(configuration)
    host.enable(interrupts: 4)
    let uncoalesced: UInt32 = 1 << 16
    let set = SubmissionEntry(setFeature: .interruptVectorConfiguration, value: 2 | uncoalesced)
    #expect(host.status(set).isSuccess)
    func value(_ vector: UInt32) -> UInt32? {
      get(host, SubmissionEntry(getFeature: .interruptVectorConfiguration, value: vector))
    }
    #expect(value(2) == 2 | uncoalesced && value(1) == 1 && value(3) == 3 && value(4) == nil)
    for vector in [4, 0xffff] as [UInt32] {
      let entry = SubmissionEntry(setFeature: .interruptVectorConfiguration, value: vector)
      #expect(host.status(entry).code == .invalidField)
    }
  }

  @Test("a feature of the controller is not set for a namespace")
  func controllerScope() throws {
    let host = try TestHost.memory()
    for feature in [Feature.volatileWriteCache, .arbitration, .powerManagement, .temperatureThreshold] {
      let entry = SubmissionEntry(setFeature: feature, value: 0, namespace: 1)
      #expect(host.status(entry) == Status(.featureNotNamespaceSpecific, doNotRetry: true))
    }
    let absent = SubmissionEntry(setFeature: .volatileWriteCache, value: 0, namespace: 9)
    #expect(host.status(absent).code == .invalidNamespaceOrFormat)
    #expect(get(host, SubmissionEntry(getFeature: .volatileWriteCache)) == 1)
    let all = SubmissionEntry(
      setFeature: .volatileWriteCache, value: 0, namespace: SubmissionEntry.allNamespaces)
    #expect(host.status(all).isSuccess)
    #expect(get(host, SubmissionEntry(getFeature: .volatileWriteCache)) == 0)
  }

  @Test("Error Recovery has a value for each namespace")
  func errorRecovery() throws {
    let host = try TestHost.memory { $0.namespaces.append(.init(.memory(bytes: 1 << 20))) }
    func set(_ value: UInt32, _ namespace: UInt32) -> StatusCode {
      host.status(SubmissionEntry(setFeature: .errorRecovery, value: value, namespace: namespace)).code
    }
    func value(_ namespace: UInt32) -> UInt32? {
      get(host, SubmissionEntry(getFeature: .errorRecovery, namespace: namespace))
    }
    #expect(set(5, 1) == .success && value(1) == 5 && value(2) == 0)
    #expect(set(9, SubmissionEntry.allNamespaces) == .success && value(1) == 9 && value(2) == 9)
    #expect(set(1, 3) == .invalidNamespaceOrFormat && set(1, 0) == .invalidNamespaceOrFormat)
    #expect(value(3) == nil && value(SubmissionEntry.allNamespaces) == nil)
    // DULBE, which NSFEAT does not offer.
    #expect(set(1 << 16, 1) == .invalidField && value(1) == 9)
    let capabilities = SubmissionEntry(getFeature: .errorRecovery, select: .capabilities)
    #expect(get(host, capabilities) == 6)
    #expect(get(host, SubmissionEntry(getFeature: .arbitration, select: .capabilities)) == 4)
  }

  @Test("Temperature Threshold keeps a value for each of its selectors")
  func thresholds() throws {
    let host = try TestHost.memory()
    func value(_ sensor: UInt8, isUnder: Bool) -> UInt16? {
      let selectors = TemperatureThreshold(0, sensor: sensor, isUnder: isUnder).rawValue
      let raw = get(host, SubmissionEntry(getFeature: .temperatureThreshold, value: selectors))
      return raw.map { TemperatureThreshold(rawValue: $0).temperature }
    }
    func set(_ threshold: TemperatureThreshold) -> StatusCode {
      host.status(SubmissionEntry(setFeature: .temperatureThreshold, value: threshold.rawValue)).code
    }
    #expect(value(0, isUnder: false) == 343 && value(0, isUnder: true) == 0)
    #expect(value(3, isUnder: false) == 0xffff && value(3, isUnder: true) == 0)
    #expect(set(TemperatureThreshold(350)) == .success)
    #expect(set(TemperatureThreshold(280, isUnder: true)) == .success)
    #expect(set(TemperatureThreshold(360, sensor: 8)) == .success)
    #expect(value(0, isUnder: false) == 350 && value(0, isUnder: true) == 280)
    #expect(value(8, isUnder: false) == 360 && value(7, isUnder: false) == 0xffff)
    #expect(set(TemperatureThreshold(340, sensor: TemperatureThreshold.everySensor)) == .success)
    #expect(value(0, isUnder: false) == 340 && value(7, isUnder: false) == 340)
    #expect(value(0, isUnder: true) == 280)
    #expect(value(TemperatureThreshold.everySensor, isUnder: false) == nil && value(9, isUnder: false) == nil)
    for reserved in [9 << 16, 14 << 16, 2 << 20, 3 << 20] as [UInt32] {
      #expect(set(TemperatureThreshold(rawValue: 300 | reserved)) == .invalidField)
    }
  }

  @Test("a temperature that reaches a threshold is a warning, and an event if the host has enabled it")
  func temperatureEvents() throws {
    let host = try TestHost.memory()
    func event() -> AsynchronousEvent? {
      host.poll(host.admin).map { AsynchronousEvent(rawValue: $0.result) }
    }
    #expect(host.run(SubmissionEntry(.asynchronousEventRequest)) == nil)
    host.controller.temperature = 343
    #expect(event() == nil)
    #expect(host.health()?.criticalWarning == 2 && host.health()?.temperature == 343)
    host.controller.temperature = 342
    #expect(host.health()?.criticalWarning == 0)
    let warnings = SubmissionEntry(setFeature: .asynchronousEventConfiguration, value: 1 << 1)
    #expect(host.status(warnings).isSuccess)
    host.controller.temperature = 344
    #expect(event() == .temperature)
    host.controller.temperature = 300
    #expect(host.health()?.criticalWarning == 0)
    #expect(host.run(SubmissionEntry(.asynchronousEventRequest)) == nil)
    let under = TemperatureThreshold(300, isUnder: true)
    host.place(SubmissionEntry(setFeature: .temperatureThreshold, value: under.rawValue), host.admin)
    host.ring(host.admin)
    let first = try #require(host.poll(host.admin))
    let second = try #require(host.poll(host.admin))
    #expect([first.result, second.result].contains(AsynchronousEvent.temperature.rawValue))
    #expect(host.health()?.criticalWarning == 2)
  }

  private struct Lent: Equatable {
    var value: UInt32 = 0
    var attributes = HostMemoryAttributes()
  }

  @Test("Get Features returns the attributes of the host memory buffer")
  func hostMemory() throws {
    let host = try TestHost.memory { $0.hostMemory = 16 << 12 }
    let page = try #require(host.data(SubmissionEntry(identify: .controller)))
    let limit = IdentifyController(decoding: page).hostMemoryDescriptorLimit
    #expect(limit > 0)
    func attributes(_ selection: FeatureSelection = .current) -> Lent? {
      var entry = SubmissionEntry(getFeature: .hostMemoryBuffer, select: selection)
      let frame = host.allocate()
      entry.prp1 = host.arena.address(frame)
      return get(host, entry).map {
        Lent(
          value: $0,
          attributes: HostMemoryAttributes(decoding: UnsafeRawBufferPointer(host.bytes(frame, 4096))))
      }
    }
    #expect(attributes() == Lent())
    let (memory, list) = (host.allocate(16), host.allocate(2))
    func lend(count: UInt32) -> StatusCode {
      for index in 0..<Int(count) {
        let pages: UInt32 = index == 0 ? 16 : 0
        let descriptor = HostMemoryDescriptor(address: host.arena.address(memory), pages: pages)
        host.bytes(list, 8192).storeBytes(
          of: descriptor, toByteOffset: index * HostMemoryDescriptor.size, as: HostMemoryDescriptor.self)
      }
      let address = host.arena.address(list)
      return host.status(
        SubmissionEntry(enableHostMemory: 16, list: address, count: count, isReturned: false)
      ).code
    }
    #expect(lend(count: UInt32(limit) + 1) == .invalidField)
    #expect(lend(count: UInt32(limit)) == .success)
    let lent = try #require(attributes())
    #expect(lent.value == 1 && lent.attributes.pages == 16 && lent.attributes.count == UInt32(limit))
    #expect(lent.attributes.list == host.arena.address(list))
    #expect(attributes(.defaultValue) == Lent())
    #expect(host.status(.disableHostMemory).isSuccess)
    #expect(attributes() == Lent())
  }

  @Test("a controller that asks for no host memory does not support the feature")
  func noHostMemory() throws {
    let host = try TestHost.memory()
    #expect(host.status(SubmissionEntry(getFeature: .hostMemoryBuffer)).code == .invalidField)
    #expect(host.status(.disableHostMemory).code == .invalidField)
  }

  /// Sends data with Set Features.
  private func set(_ host: TestHost, _ feature: Feature, _ data: [UInt8], value: UInt32 = 0) -> Status {
    let frame = host.allocate()
    host.bytes(frame, 4096).copyBytes(from: data)
    var entry = SubmissionEntry(setFeature: feature, value: value)
    entry.prp1 = host.arena.address(frame)
    return host.status(entry)
  }

  @Test("Timestamp counts on from the value set")
  func timestamp() throws {
    let host = try TestHost.memory()
    func value() throws -> TimestampValue {
      TimestampValue(decoding: try #require(host.data(SubmissionEntry(getFeature: .timestamp), 8)))
    }
    #expect(try !value().isSet)
    #expect(set(host, .timestamp, [0, 0, 0, 0, 0, 1, 0xff, 0xff]).isSuccess)
    let first = try value()
    #expect(first.isSet && first.milliseconds >> 40 == 1)
    let without = try TestHost.memory { $0.ioCommands.remove(.timestamp) }
    #expect(without.status(SubmissionEntry(getFeature: .timestamp)).code == .invalidField)
  }

  @Test("Host Identifier has 16 bytes with EXHID, and 8 without")
  func hostIdentifier() throws {
    let host = try TestHost.memory()
    let identifier = (1...16).map { UInt8($0) }
    func value(_ extended: UInt32, _ size: Int) -> [UInt8]? {
      host.data(SubmissionEntry(getFeature: .hostIdentifier, value: extended), size).map { Array($0) }
    }
    #expect(set(host, .hostIdentifier, identifier, value: 1).isSuccess)
    #expect(value(1, 16) == identifier && value(0, 8) == Array(identifier[..<8]))
    #expect(set(host, .hostIdentifier, [9], value: 0).isSuccess)
    #expect(value(1, 16) == [9] + [UInt8](repeating: 0, count: 15))
  }

  @Test("Timestamp that no host has set counts from the reset")
  func timestampClock() throws {
    var configuration = EmulatedController.Configuration(namespaces: [.init(.memory(bytes: 1 << 20))])
    configuration.mode = .inService
    let host = try TestHost(configuration)
    host.enable()
    func milliseconds() throws -> UInt64 {
      TimestampValue(decoding: try #require(host.data(SubmissionEntry(getFeature: .timestamp), 8)))
        .milliseconds
    }
    usleep(300_000)
    #expect(try (250..<60_000).contains(milliseconds()))
    host.disable()
    host.enable()
    #expect(try milliseconds() < 250)
  }

  @Test("a warning that is already set is reported when the host enables it")
  func lateListener() throws {
    let host = try TestHost.memory { $0.criticalWarning = 1 << 2 }
    host.place(SubmissionEntry(.asynchronousEventRequest), host.admin)
    host.ring(host.admin)
    #expect(host.poll(host.admin) == nil)
    let set = SubmissionEntry(setFeature: .asynchronousEventConfiguration, value: 1 << 2)
    host.place(set, host.admin)
    host.ring(host.admin)
    let answers = (0..<2).compactMap { _ in host.poll(host.admin) }
    #expect(answers.count == 2)
    #expect(answers.contains { AsynchronousEvent(rawValue: $0.result) == .reliability })
  }

  @Test("the number of queues granted is kept until a reset, and cannot be set once a queue exists")
  func grantStays() throws {
    let host = try TestHost.memory()
    func ask(_ pairs: Int) -> SubmissionEntry {
      SubmissionEntry(
        setFeature: .numberOfQueues, value: QueueCounts(submission: pairs, completion: pairs).rawValue)
    }
    let first = host.run(ask(2))?.result
    #expect(first == QueueCounts(submission: 2, completion: 2).rawValue)
    #expect(host.run(ask(6))?.result == first)
    _ = host.makeQueue()
    #expect(host.status(SubmissionEntry(deleteSubmissionQueue: 1)).isSuccess)
    #expect(host.status(SubmissionEntry(deleteCompletionQueue: 1)).isSuccess)
    #expect(host.status(ask(6)).code == .commandSequenceError)
  }

  @Test("features without effect keep the values set")
  func keptValues() throws {
    let host = try TestHost.memory()
    for (feature, value) in [
      (Feature.arbitration, 0x0102_0300), (.interruptCoalescing, 0x0504), (.writeAtomicityNormal, 1),
    ]
      as [(Feature, UInt32)]
    {
      #expect(host.status(SubmissionEntry(setFeature: feature, value: value)).isSuccess)
      #expect(get(host, SubmissionEntry(getFeature: feature)) == value)
    }
  }
}
