import DriverTestSupport
import EmulatedController
import NVMeSpec
import PCI
import Testing

@testable import NVMe

/// Controllers that lack, refuse or never complete an optional command.
@Suite struct FallbackTests {
  private static let second: UInt64 = 1_000_000_000

  @Test func aControllerThatGrantsNoQueuesServesAdminCommands() throws {
    let machine = try TestMachine()
    machine.device.faultRules = [
      FaultRule(admin: .setFeatures, .status(Status(.invalidField, doNotRetry: true)))
    ]
    let controller = try machine.open()
    #expect(controller.state == .ready && !controller.canMakeQueuePair)
    #expect(try controller.readErrorLog().count < 256)
    let error = #expect(throws: ControllerError.self) { _ = try controller.makeQueuePair() }
    #expect(error?.description.contains("grants no I/O queues") == true, "\(String(describing: error))")
    controller.close()
    #expect(controller.failure == nil && machine.device.mappedArenas == 0)
  }

  /// An Identify that never ends delays the bring-up by seconds where it is optional, and otherwise makes it
  /// fail in time.
  @Test func descriptorsThatNeverComeAreSkipped() throws {
    var passedOver = 0
    for skipping in 0..<6 {
      let machine = try TestMachine()
      machine.device.faultRules = [
        FaultRule(admin: .identify, .loseCompletion, skipping: skipping, limit: 1)
      ]
      let start = machine.time.now
      guard let controller = try? machine.open() else { continue }
      if !controller.remarks.isEmpty {
        passedOver += 1
        #expect(machine.time.now - start < 8 * Self.second)
        #expect(controller.namespaces.count == 1 && controller.namespaces[0].descriptors.isEmpty)
      }
      controller.close()
      #expect(machine.device.dmaFaultCount == 0)
    }
    #expect(passedOver == 1)
  }

  @Test func queuesRefusedInItsMemoryLieInTheHosts() throws {
    let machine = try TestMachine { $0.memoryBuffer = 64 << 10 }
    machine.device.faultRules = [
      FaultRule(admin: .createSubmissionQueue, .status(Status(.invalidField, doNotRetry: true)), limit: 1)
    ]
    let controller = try machine.open()
    for _ in 0..<2 { controller.delete(try controller.makeQueuePair()) }
    let queue = try controller.makeQueuePair()
    #expect(controller.memoryBufferUsed == 0 && controller.remarks.count == 1)
    controller.delete(queue)
    controller.close()
    #expect(machine.device.mappedArenas == 0 && machine.device.dmaFaultCount == 0)
  }

  @Test func longLogsAreNotReadFromAControllerWithoutThem() throws {
    let machine = try TestMachine()
    let controller = try machine.open()
    controller.identity.logPageAttributes = 0
    let commands = controller.adminCounters.submitted
    let error = #expect(throws: ControllerError.self) { _ = try controller.readLog(.error, length: 20 << 10) }
    #expect(error?.description.contains("LPA") == true && controller.adminCounters.submitted == commands)
    controller.identity.errorLogEntries = 255
    #expect(try controller.readErrorLog().isEmpty)
    controller.close()
  }

  @Test func aMemoryRequestAboveTheLimitIsRemarked() throws {
    let machine = try TestMachine { $0.hostMemory = 1 << 20 }
    machine.options.hostMemoryLimit = 0
    let controller = try machine.open()
    #expect(controller.lentMemory == 0)
    #expect(
      controller.remarks.contains { $0.contains("HMMIN") } == (controller.identity.minimumHostMemory > 0))
    controller.close()
  }

  @Test(arguments: [(0, 16), (1, 32), (2, 64)]) func guardsAreIdentifiedByTheirWidth(
    format: UInt32, bits: Int
  ) {
    var data = [UInt8](repeating: 0, count: IdentifyStructure.size)
    data.withUnsafeMutableBytes { $0.put(format << 7 | 5, at: 12 + 4 * 3) }
    let namespace = data.withUnsafeBytes { CommandSetNamespace(decoding: $0) }
    #expect(namespace.guardBits(ofFormat: 3) == bits && namespace.guardBits(ofFormat: 2) == 16)
    #expect(namespace.guardBits(ofFormat: 64) == 16)
    var identity = IdentifyNamespace()
    (identity.size, identity.formats) = (8, [LBAFormat(rawValue: 12 << 16)])
    var described = Namespace(identifier: 1, identity: identity)
    #expect(described.obstacle == nil)
    described.guardBits = bits
    #expect(described.obstacle?.contains("guards of \(bits) bits") == (bits == 16 ? nil : true))
  }
}

/// Controllers with quirks.
@Suite struct QuirkTests {
  /// The emulated controller with the PCI ids of another.
  private final class Renamed: DeviceFunction, RegisterAccess {
    let device: EmulatedController
    private let identifiers: UInt32
    private let time: TestTime
    /// When CC.EN was last cleared, and CSTS first read after that.
    private(set) var cleared: UInt64 = 0
    private(set) var looked: UInt64?

    init(_ machine: TestMachine, vendor: UInt16, device: UInt16) {
      self.device = machine.device
      time = machine.time
      identifiers = UInt32(device) << 16 | UInt32(vendor)
    }

    func readConfiguration(at offset: Int, width: Int) -> UInt32 {
      offset == 0 && width == 4 ? identifiers : device.readConfiguration(at: offset, width: width)
    }

    func load32(at offset: Int) -> UInt32 {
      if offset == Register.status, cleared > 0, looked == nil { looked = time.now }
      return device.load32(at: offset)
    }
    func load64(at offset: Int) -> UInt64 { device.load64(at: offset) }
    func store32(_ value: UInt32, at offset: Int) {
      if offset == Register.configuration, value & 1 == 0 { (cleared, looked) = (time.now, nil) }
      device.store32(value, at: offset)
    }
    func store64(_ value: UInt64, at offset: Int) { device.store64(value, at: offset) }

    func openBAR(_ index: Int) throws(FunctionError) -> RegisterWindow {
      RegisterWindow(access: self, size: try device.openBAR(index).size)
    }
    var name: String { "renamed" }
    var interruptVectors: Int { 0 }
    func enableInterrupts(count: Int) throws(FunctionError) -> [Int32] { [] }
    func reset() throws(FunctionError) { try device.reset() }
    var removalDescriptor: Int32? { nil }
    let needsService = true
    func service(now: UInt64) -> UInt64 { device.service(now: now) }
  }

  @Test func areFoundByVendorAndDevice() throws {
    let machine = try TestMachine()
    #expect(Quirks(of: machine.device) == [])
    let nytro = Quirks(of: Renamed(machine, vendor: 0x1bb1, device: 0x0100))
    #expect(nytro == [.delaysReadiness, .noDescriptors] && nytro.remarks.count == 2)
    #expect(Quirks(of: Renamed(machine, vendor: 0x8086, device: 0xf1a5)).contains(.mediumPriority))
    #expect(Quirks(of: Renamed(machine, vendor: 0xffff, device: 0xffff)) == [])
  }

  @Test func statusIsNotReadDuringTheDelay() throws {
    let machine = try TestMachine()
    let function = Renamed(machine, vendor: 0x1bb1, device: 0x0100)
    let controller = try Controller.open(function, options: machine.options)
    #expect(controller.remarks.count == 2 && controller.namespaces[0].descriptors.isEmpty)
    controller.reset()
    controller.waitForReset()
    #expect(controller.state == .ready)
    #expect(try #require(function.looked) - function.cleared >= 2_300_000_000)
    controller.close()
  }

  @Test func areFoundByTheModelNumber() throws {
    let machine = try TestMachine { $0.modelNumber = "Samsung Portable SSD X5" }
    let function = Renamed(machine, vendor: 0x144d, device: 0xa808)
    let controller = try Controller.open(function, options: machine.options)
    #expect(controller.remarks.count == 1)
    for _ in 0..<2 {
      controller.reset()
      controller.waitForReset()
      #expect(controller.state == .ready)
      #expect(try #require(function.looked) - function.cleared >= 2_300_000_000)
    }
    #expect(controller.remarks.count == 1)
    controller.close()
  }

  @Test func bogusIdentifiersAreIgnored() throws {
    let machine = try TestMachine()
    let function = Renamed(machine, vendor: 0x1987, device: 0x5012)
    let controller = try Controller.open(function, options: machine.options)
    #expect(controller.namespaces[0].uuid == nil)
    #expect(controller.namespaces[0].identity.nguid.allSatisfy { $0 == 0 })
    controller.close()
  }

  @Test func writeZeroesAndStripesFollowTheModel() throws {
    for (device, stripes, writesZeroes) in [(0x0953, true, true), (0xf1a5, false, false)]
      as [(UInt16, Bool, Bool)]
    {
      let machine = try TestMachine()
      let function = Renamed(machine, vendor: 0x8086, device: device)
      let controller = try Controller.open(function, options: machine.options)
      let limits = controller.capabilities.transferLimits(for: controller.namespaces[0])
      #expect((limits.boundary == controller.capabilities.transferFrames) == stripes)
      #expect(controller.capabilities.canWriteZeroes == writesZeroes)
      controller.close()
    }
  }
}
