import Glibc
import NVMeSpec
import PCI

/// An NVMe controller in the process: registers, queues and commands as the specification has them, behind a
/// PCI function, over image files or memory.
///
/// It meets its driver only at registers, doorbells and DMA memory. A doorbell store carries out the new
/// commands at once, except those that wait for a worker thread or a due time; `service(now:)` completes
/// these.
public final class EmulatedController {
  /// The name in messages.
  public let name: String
  var controller: ControllerModel
  var space: ConfigurationSpace
  let barSize: Int

  /// Makes a controller.
  /// - Throws: `FunctionError` when the configuration is invalid, or an image cannot be opened.
  public init(_ configuration: Configuration, name: String = "emulated") throws(FunctionError) {
    do throws(ConfigurationError) {
      try configuration.check()
    } catch {
      throw FunctionError("\(name): \(error)", errno: EINVAL)
    }
    var configuration = configuration
    if configuration.serialNumber.isEmpty { configuration.serialNumber = Identifiers.serialNumber(name) }
    self.name = name
    controller = try ControllerModel(configuration)
    let window = Doorbell.windowSize(
      queues: configuration.queuePairs + 1, stride: configuration.doorbellStride)
    barSize = Self.powerOfTwo(atLeast: window)
    space = ConfigurationSpace(
      vectors: configuration.queuePairs + 1, barSize: barSize, bufferSize: controller.memoryBuffer.barSize)
  }

  deinit {
    controller.finishWork()
    controller.keepCounters()
  }

  private static func powerOfTwo(atLeast size: Int) -> Int {
    var power = 0x2000
    while power < size { power *= 2 }
    return power
  }
}

extension EmulatedController: RegisterAccess {
  public func load32(at offset: Int) -> UInt32 { controller.load32(offset) }

  public func load64(at offset: Int) -> UInt64 {
    UInt64(controller.load32(offset)) | UInt64(controller.load32(offset + 4)) << 32
  }

  public func store32(_ value: UInt32, at offset: Int) { controller.store32(value, offset) }

  public func store64(_ value: UInt64, at offset: Int) {
    // Doorbells are 32 bits wide.
    guard offset < Register.doorbells else { return }
    controller.store32(UInt32(truncatingIfNeeded: value), offset)
    controller.store32(UInt32(truncatingIfNeeded: value >> 32), offset + 4)
  }
}

extension EmulatedController: PCIFunction {
  public var interruptVectors: Int { controller.interrupts.vectors }
  public var removalDescriptor: Int32? { controller.removal >= 0 ? controller.removal : nil }

  public func readConfiguration(at offset: Int, width: Int) -> UInt32 {
    controller.isUnreachable ? .max : space.read(at: offset, width: width)
  }

  public func writeConfiguration(_ value: UInt32, at offset: Int, width: Int) {
    if controller.isUnreachable { return }
    space.write(value, at: offset, width: width)
    if space.takeResetRequest() { controller.resetFunction() }
    if space.answers { controller.barsAreReset = false }
    if space.busMaster != controller.iommu.busMaster { controller.iommu.busMaster = space.busMaster }
  }

  public func openBAR(_ index: Int) throws(FunctionError) -> RegisterWindow {
    if index == ControllerMemoryBuffer.bar, let window = controller.memoryBuffer.window { return window }
    guard index == 0 else { throw FunctionError("\(name) has no BAR \(index)", errno: ENODEV) }
    return RegisterWindow(access: self, size: barSize)
  }

  public func map(_ arena: DMAArena) throws(FunctionError) { controller.iommu.map(arena) }

  public func unmap(_ arena: DMAArena) {
    controller.completeWork()
    controller.iommu.unmap(arena)
  }

  public func enableInterrupts(count: Int) throws(FunctionError) -> [Int32] {
    controller.completeWork()
    let descriptors = try controller.interrupts.enable(count)
    space.msixEnabled = true
    return descriptors
  }

  public func setBusMaster(_ enabled: Bool) {
    space.busMaster = enabled
    controller.iommu.busMaster = enabled
  }

  public func reset() throws(FunctionError) {
    guard !controller.isUnreachable else { throw FunctionError("\(name) does not answer", errno: ENODEV) }
    if case .stuck = controller.faults.actionOnFunctionReset() {
      throw FunctionError("the reset of \(name) failed", errno: EIO)
    }
    controller.resetFunction()
  }

  public var needsService: Bool { true }
  /// A controller in service has power as long as this process runs; in stepped mode a test may cut it.
  public var mayLosePower: Bool { controller.configuration.mode == .stepped }

  public func service(now: UInt64) -> UInt64 {
    let due = controller.service(now: now)
    if controller.linkWasReset { resetConfiguration() }
    return due
  }

  public func restoreChannel() { enableMemorySpace() }

  /// A reset of the link clears the configuration: the host has to place the function's registers again, and
  /// let it access memory.
  private func resetConfiguration() {
    controller.linkWasReset = false
    controller.barsAreReset = true
    space.reset()
    controller.iommu.busMaster = false
  }

  public func close() {
    controller.resetFunction()
    controller.interrupts.disable()
    controller.iommu.busMaster = false
    space.msixEnabled = false
    space.busMaster = false
    controller.readClock()
    controller.keepCounters()
    controller.namespaces.close()
  }
}

/// Access for a test bench, beyond what a driver can reach.
extension EmulatedController {
  /// The fault rules in force. Setting them restarts their counts.
  public var faultRules: [FaultRule] {
    get { controller.faults.current }
    set {
      controller.faults.replace(newValue)
      controller.updateObservation()
    }
  }

  /// The accesses outside every mapping, the latest 64 of them.
  public var dmaFaults: [DMAFault] { controller.iommu.faults }

  /// How many accesses were outside every mapping.
  public var dmaFaultCount: Int { controller.iommu.faultCount }

  /// What the controller has done so far.
  public var statistics: Statistics {
    var statistics = controller.statistics
    statistics.faultsShown = controller.faults.shown
    return statistics
  }

  /// What was recorded so far; nil when the configuration does not ask for a recording.
  public var recording: Recorder? { controller.recorder }

  /// Removes the function, as if it were pulled out: registers read as all ones from now on.
  public func surpriseRemove() { controller.remove() }

  /// Injects a fault now, independent of any command: `fatal`, `remove`, `dropLink`, `resetItself`,
  /// `losePower` or `replace`.
  public func show(_ fault: FaultAction) {
    switch fault {
    case .fatal: controller.fail()
    case .remove: controller.remove()
    case .dropLink(let duration, let resets): controller.dropLink(for: duration, resets: resets)
    case .resetItself: controller.resetFunction()
    case .losePower: controller.losePower()
    case .replace(let serialNumber): controller.replace(serialNumber)
    default: break
    }
  }

  /// Reports an asynchronous event, if the host has enabled its type.
  /// - Parameter warning: the SMART log's critical warning from now on; nil leaves it.
  public func report(_ event: AsynchronousEvent, warning: UInt8? = nil) {
    if let warning { controller.criticalWarning = warning }
    controller.report(event)
  }

  /// The composite temperature in kelvin. Reaching one of its thresholds is an asynchronous event.
  public var temperature: UInt16 {
    get { controller.temperature }
    set { controller.setTemperature(newValue) }
  }

  /// Reports that a namespace has changed: the log of changed namespaces names it.
  public func reportChange(ofNamespace identifier: UInt32) {
    let changed = Set(controller.changedNamespaces.identifiers).union([identifier])
    let isOverflow = changed.count > NamespaceList.limit || controller.changedNamespaces.isOverflow
    controller.changedNamespaces.isOverflow = isOverflow
    controller.changedNamespaces.identifiers = isOverflow ? [] : changed.sorted()
    controller.report(.namespaceAttributeChanged)
  }

  /// CSTS.PP: whether processing is paused, as during a firmware activation.
  public var isPaused: Bool {
    get { controller.registers.status.paused }
    set { controller.registers.status.paused = newValue }
  }

  /// How many arenas are mapped for the controller.
  public var mappedArenas: Int { controller.iommu.mappedArenas }

  /// Cuts the power and brings it back: media hold what survived the cut, and the controller is as after
  /// power-on. DMA mappings and interrupts stay, as they belong to the host.
  /// - Throws: `FunctionError` without a recording, which alone says which writes may be lost.
  public func cutPower(_ cut: PowerCut = PowerCut()) throws(FunctionError) {
    guard controller.recorder != nil else {
      throw FunctionError(
        "\(name) does not record its writes", remedy: "set Configuration.records", errno: EINVAL)
    }
    controller.cutPower(cut)
  }

  /// The contents of a namespace as they are now.
  public func contents(namespace: UInt32) -> SparseImage? {
    controller.namespaces[namespace]?.medium.snapshot()
  }
}
