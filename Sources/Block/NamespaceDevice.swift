import BlockProtocol
import CMachine
import Glibc
import NVMe
import NVMeSpec
import PCI

/// A namespace of a controller as a device of 4 KiB blocks, with a queue pair of its own.
///
/// Several devices of one controller can be open at once, on the thread that owns the controller; the last
/// one to be closed closes the controller.
public final class NamespaceDevice: BlockDevice {
  /// How many commands can be in flight at once.
  public static let commandLimit = 1024

  public let controller: Controller
  /// The namespace.
  public let namespace: Namespace
  public let arena: DMAArena
  public var frameMemory: UnsafeMutableRawBufferPointer {
    UnsafeMutableRawBufferPointer(start: arena.base, count: arena.size)
  }
  public let blockCount: UInt64
  public var name: String { "\(controller.function.name)/\(namespace.identifier)" }
  public var isWriteProtected: Bool { namespace.isWriteProtected }
  public let hasVolatileCache: Bool
  public let canDiscard: Bool
  public var canVerify: Bool { controller.capabilities.canVerify }
  public var canCompare: Bool { controller.capabilities.canCompare(namespace) }
  /// Whether closing the device closes the controller too, when no other device of it is open.
  public var closesController = true

  private let queue: UnsafeMutablePointer<BlockQueue>
  /// A frame of zeros, for controllers that have no Write Zeroes.
  private let zeros: DMAArena?
  /// Memory for the proof after a loss of power, where there can be one.
  private let readBack: ReadBack?
  private let ownsArena: Bool
  private var isClosed = false

  /// Opens a namespace.
  /// - Parameters:
  ///   - controller: a controller that is ready.
  ///   - identifier: the namespace identifier.
  ///   - arena: the memory that commands' frames lie in; mapped for the device if it is not yet.
  /// - Throws: why the namespace cannot be used.
  public init(controller: Controller, namespace identifier: UInt32, arena: DMAArena) throws(BlockDeviceError)
  {
    let name = "\(controller.function.name)/\(identifier)"
    guard let namespace = controller.namespaces.first(where: { $0.identifier == identifier }) else {
      throw BlockDeviceError(name, .noSuchNamespace(controller.namespaces.map(\.identifier)))
    }
    guard namespace.obstacle == nil, let lbasPerBlock = namespace.lbasPerFrame else {
      throw BlockDeviceError(name, .unusable(namespace.obstacle ?? "namespace \(identifier) cannot be used"))
    }
    self.controller = controller
    self.namespace = namespace
    self.arena = arena
    blockCount = namespace.lbaCount / UInt64(lbasPerBlock)
    hasVolatileCache = controller.capabilities.hasVolatileCache
    canDiscard = controller.capabilities.canDeallocate(blocksOf: lbasPerBlock)
    ownsArena = arena.iova == .max
    let function = controller.function
    do throws(FunctionError) {
      if ownsArena { try function.map(arena) }
      let canWriteZeroes = controller.capabilities.canWriteZeroes && namespace.protection == nil
      zeros = canWriteZeroes ? nil : try DMAArena(frames: 1, name: "varve-zeros")
      if let zeros { try function.map(zeros) }
      readBack = function.mayLosePower ? try ReadBack(function) : nil
    } catch {
      throw BlockDeviceError(name, .function(error))
    }
    controller.beginUse(of: namespace)
    queue = .allocate(capacity: 1)
    do throws(ControllerError) {
      let pair = try controller.makeQueuePair(protection: namespace.protection)
      queue.initialize(
        to: BlockQueue(
          controller: controller, namespace: namespace, lbasPerBlock: lbasPerBlock, arena: arena,
          zeros: zeros, readBack: readBack, pair: pair, requests: Self.commandLimit))
    } catch {
      isClosed = true
      controller.endUse(of: namespace)
      queue.deallocate()
      unmapMemory()
      throw BlockDeviceError(name, .controller(error))
    }
  }

  /// Opens a namespace with an arena of its own.
  /// - Parameter arenaFrames: frames of 4 KiB.
  public convenience init(
    controller: Controller, namespace identifier: UInt32, arenaFrames: Int
  ) throws(BlockDeviceError) {
    let arena: DMAArena
    do throws(FunctionError) {
      arena = try DMAArena(frames: arenaFrames, isShared: controller.function.needsSharedMemory)
    } catch {
      throw BlockDeviceError("\(controller.function.name)/\(identifier)", .function(error))
    }
    try self.init(controller: controller, namespace: identifier, arena: arena)
  }

  deinit { close() }

  /// The counters of the device's queue pair; zeros once the device is closed.
  public var counters: QueueCounters { isClosed ? QueueCounters() : queue.pointee.pair.counters }

  /// Requests that are not reported yet, and NVMe commands that have not ended: for tests that look for
  /// leaks.
  public var underWay: (requests: Int, commands: Int) {
    isClosed ? (0, 0) : (queue.pointee.pool.inUse, queue.pointee.pair.underWay)
  }

  /// How long NVMe commands took; empty once the device is closed.
  public var latency: LatencyHistogram {
    isClosed ? LatencyHistogram() : queue.pointee.pair.latency
  }

  /// The device's queue pair: its identifier, and how many commands can be in flight in it; 0 once it is
  /// closed.
  public var queueIdentifier: UInt16 { isClosed ? 0 : queue.pointee.pair.identifier }
  public var queueDepth: Int { isClosed ? 0 : queue.pointee.pair.depth }

  /// What the device has lost, once a proof after a loss of power or a restart has failed: every command but
  /// a read ends with EIO from then on.
  public var loss: String? { isClosed ? nil : queue.pointee.loss }

  /// Starts recording NVMe commands, keeping the last `capacity` of them.
  public func startTrace(capacity: Int) { if !isClosed { queue.pointee.pair.startTrace(capacity: capacity) } }

  /// Stops recording.
  public func stopTrace() { if !isClosed { queue.pointee.pair.stopTrace() } }

  /// Takes recorded commands, each with the number of the `BlockCommand` that it carries out as its context,
  /// and returns how many were overwritten before they were taken.
  public func takeTrace(limit: Int) -> (commands: [CommandTrace], lost: UInt64) {
    guard !isClosed else { return ([], 0) }
    var (commands, lost) = queue.pointee.pair.takeTrace(limit: limit)
    for index in commands.indices {
      commands[index].context = UInt64(BlockQueue.commandNumber(ofContext: commands[index].context))
    }
    return (commands, lost)
  }

  /// The last commands that failed, oldest first.
  public var errors: [CommandError] { isClosed ? [] : queue.pointee.pair.errors.entries }

  /// The last failed command on any of these blocks; without blocks, the last failed flush.
  public func failure(on blocks: Range<UInt64>?) -> CommandError? {
    let lbas = UInt64(namespace.lbasPerFrame ?? 1)
    return errors.last { error in
      guard error.opcode != IOOpcode.flush.rawValue else { return blocks == nil }
      return blocks?.contains(error.lba / lbas) == true
    }
  }

  public var lastFailure: String? { errors.last?.description }

  public func submit(_ command: BlockCommand) -> Bool { !isClosed && queue.pointee.submit(command) }

  public func ring() {
    if !isClosed { queue.pointee.ring() }
  }

  public func poll(_ completions: inout [BlockCompletion], limit: Int) {
    if !isClosed { queue.pointee.poll(&completions, limit: limit) }
  }

  public var interruptDescriptor: Int32? {
    isClosed ? nil : controller.interruptDescriptor(of: queue.pointee.pair)
  }

  public var eventDescriptor: Int32? { isClosed ? nil : controller.eventDescriptor }

  public var removalDescriptor: Int32? { controller.function.removalDescriptor }

  public var nextDeadline: UInt64 {
    guard !isClosed else { return .max }
    return queue.pointee.hasEnds ? 0 : controller.nextDeadline(of: queue.pointee.pair)
  }

  public func prepareToSleep() -> Bool {
    guard !isClosed else { return true }
    // Interrupts are always on; earlier ones would only cause a needless wakeup. They are kept where another
    // queue pair shares the vector and may not have handled them.
    if let descriptor = interruptDescriptor {
      if !controller.sharesInterrupt(of: queue.pointee.pair) { cm_eventfd_clear(descriptor) }
      controller.serviceFunction()
    }
    ring()
    return !queue.pointee.hasEnds && !controller.canCollect(from: queue.pointee.pair) && !controller.hasEvent
  }

  public func close() {
    guard !isClosed else { return }
    isClosed = true
    controller.delete(queue.move().takePair())
    queue.deallocate()
    controller.endUse(of: namespace)
    unmapMemory()
    if closesController && !controller.hasQueuePairs { controller.close() }
  }

  private func unmapMemory() {
    if let zeros { controller.function.unmap(zeros) }
    readBack?.end()
    if ownsArena { controller.function.unmap(arena) }
  }
}
