import CMachine
import Glibc
import NVMe
import NVMeSpec
import PCI

/// A namespace of a controller as a device of 4 KiB blocks, with a queue pair of its own.
///
/// Several devices of one controller can be open at once, on the thread that owns the controller; the last one
/// to be closed closes the controller.
public final class NamespaceDevice: BlockDevice {
  /// How many commands can be under way at once.
  public static let commandLimit = 1024

  public let controller: Controller
  /// The namespace.
  public let namespace: Namespace
  public let arena: DMAArena
  public let blockCount: UInt64
  public var name: String { "\(controller.function.name)/\(namespace.identifier)" }
  public let hasVolatileCache: Bool
  public let canDiscard: Bool

  let queue: UnsafeMutablePointer<QueuePair>
  var pool = RequestPool(count: NamespaceDevice.commandLimit)
  /// Requests with blocks that no NVMe command has been posted for, since the queue pair was full.
  var waiting = RequestQueue()
  /// Discards that no NVMe command has been posted for.
  var discards = RequestQueue()
  /// Requests that are over and have not been reported.
  var ended = RequestQueue()
  var batches = [DeallocateBatch](repeating: DeallocateBatch(), count: NamespaceDevice.batchLimit)
  var freeBatches = Array(0..<NamespaceDevice.batchLimit)
  var ranges: [DatasetManagementRange] = []
  let transferLimits: TransferLimits
  let writeZeroesLimits: TransferLimits
  let lbasPerBlock: UInt32
  let lbaShift: UInt64
  /// A frame of zeros, for controllers that have no Write Zeroes.
  let zeros: DMAArena?
  /// As many zeros as a command may have frames: all name the frame of zeros.
  let zeroFrames: UnsafeMutablePointer<UInt32>
  private let ownsArena: Bool
  private var isClosed = false

  /// The most Dataset Management commands under way at once.
  static let batchLimit = 8

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
    self.lbasPerBlock = lbasPerBlock
    lbaShift = UInt64(lbasPerBlock.trailingZeroBitCount)
    blockCount = namespace.lbaCount >> lbaShift
    hasVolatileCache = controller.capabilities.hasVolatileCache
    canDiscard = controller.capabilities.canDeallocate(blocksOf: lbasPerBlock)
    transferLimits = controller.capabilities.transferLimits(for: namespace)
    writeZeroesLimits = controller.capabilities.writeZeroesLimits(for: namespace)
    ownsArena = arena.iova == .max
    let function = controller.function
    do throws(FunctionError) {
      if ownsArena { try function.map(arena) }
      zeros = controller.capabilities.canWriteZeroes ? nil : try DMAArena(frames: 1, name: "varve-zeros")
      if let zeros { try function.map(zeros) }
    } catch {
      throw BlockDeviceError(name, .function(error))
    }
    queue = .allocate(capacity: 1)
    zeroFrames = .allocate(capacity: Int(transferLimits.maximum))
    zeroFrames.initialize(repeating: 0, count: Int(transferLimits.maximum))
    do throws(ControllerError) {
      queue.initialize(to: try controller.makeQueuePair())
    } catch {
      isClosed = true
      queue.deallocate()
      unmapMemory()
      throw BlockDeviceError(name, .controller(error))
    }
    ranges.reserveCapacity(DatasetManagementRange.limit)
  }

  /// Opens a namespace with an arena of its own.
  /// - Parameter arenaFrames: frames of 4 KiB.
  public convenience init(
    controller: Controller, namespace identifier: UInt32, arenaFrames: Int
  ) throws(BlockDeviceError) {
    let arena: DMAArena
    do throws(FunctionError) {
      arena = try DMAArena(frames: arenaFrames)
    } catch {
      throw BlockDeviceError("\(controller.function.name)/\(identifier)", .function(error))
    }
    try self.init(controller: controller, namespace: identifier, arena: arena)
  }

  deinit {
    close()
    zeroFrames.deallocate()
  }

  /// What happened in the device's queue pair.
  public var counters: QueueCounters { queue.pointee.counters }

  /// The last commands that failed, oldest first.
  public var errors: [CommandError] { queue.pointee.errors.entries }

  public var interruptDescriptor: Int32? { controller.interruptDescriptor(of: queue.pointee) }

  public var removalDescriptor: Int32? { controller.function.removalDescriptor }

  public var nextDeadline: UInt64 {
    ended.isEmpty ? controller.nextDeadline(of: queue.pointee) : 0
  }

  public func prepareToSleep() -> Bool {
    // Interrupts are always on; what is left of former ones would only wake the caller for nothing.
    if let descriptor = interruptDescriptor {
      var count: UInt64 = 0
      _ = read(descriptor, &count, MemoryLayout<UInt64>.size)
    }
    ring()
    return ended.isEmpty && !queue.pointee.hasCompletion
  }

  public func close() {
    guard !isClosed else { return }
    isClosed = true
    controller.delete(queue.move())
    queue.deallocate()
    unmapMemory()
    if !controller.hasQueuePairs { controller.close() }
  }

  private func unmapMemory() {
    if let zeros { controller.function.unmap(zeros) }
    if ownsArena { controller.function.unmap(arena) }
  }
}
