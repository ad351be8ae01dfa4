import NVMe
import NVMeSpec
import PCI

/// The working state of a namespace device: its queue pair, and the requests in flight.
///
/// It is at a fixed address, so that a request's path involves no reference counting and no exclusivity
/// checks.
struct BlockQueue: ~Copyable {
  let controller: Controller
  let namespace: UInt32
  /// The size in 4 KiB blocks.
  let blockCount: UInt64
  let hasVolatileCache: Bool
  let canDiscard: Bool
  let canVerify: Bool
  let canCompare: Bool
  /// The logical blocks of a 4 KiB block, as a power of two.
  let lbaShift: UInt64
  let lbaShift32: UInt32
  /// The address of the arena's frame 0 for the device.
  let base: UInt64
  /// The arena's frame 0 for the processor.
  let memory: UnsafeMutableRawPointer
  /// Whether commands carry metadata or protection information.
  let isProtected: Bool
  /// The address of a frame of zeros for the device and for the processor, where the controller has no Write
  /// Zeroes, or none that generates protection information.
  let zeros: UInt64?
  let zerosMemory: UnsafeMutableRawPointer?
  let transferLimits: TransferLimits
  let writeZeroesLimits: TransferLimits
  let verifyLimits: TransferLimits
  /// The most blocks that one NVMe command can transfer, from any block on; 0 where there is a boundary
  /// (NOIOB), and during a proof.
  var wholeLimit: UInt64
  let wholeLimitOfReadyDevice: UInt64
  let readOpcode = IOOpcode.read
  let writeOpcode = IOOpcode.write

  var pair: QueuePair
  var pool: RequestPool
  /// Requests with blocks that are not posted yet, since the queue pair was full.
  var waiting = RequestQueue()
  /// Discards that are not posted yet.
  var discards = RequestQueue()
  /// Requests that have ended and are not reported yet.
  var ended = RequestQueue()
  var deallocation: Deallocation

  // The writes that are not durable, and the state of the proof that they are on the device.
  var unflushed = UnflushedWrites()
  /// Whether `unflushed` is kept, because the device may lose power while this process runs.
  let keepsAccount: Bool
  var proof = Proof.none
  /// The memory that blocks are read back into; nil where `unflushed` is not kept.
  let readBack: ReadBack?
  /// What was missing, once a proof has failed.
  var loss: String?
  /// `Controller.cacheLosses` at the last check.
  var cacheLosses: UInt64
  /// The end of `unflushed` when the queue's own flush was posted; nil while none is in flight.
  var ownFlushPlace: UInt64?
  /// The error of the queue's own flush, which the caller's next flush reports; 0 for none.
  var ownFlushErrno: Int32 = 0
  /// As many zeros as a command may have frames: all name the frame of zeros.
  private let zeroFrameList: ZeroFrames

  /// The frames of a write of zeros.
  var zeroFrames: UnsafePointer<UInt32> { zeroFrameList.first }

  init(
    controller: Controller, namespace: Namespace, lbasPerBlock: UInt32, arena: DMAArena, zeros: DMAArena?,
    readBack: ReadBack?, pair: consuming QueuePair, requests: Int
  ) {
    let capabilities = controller.capabilities
    self.controller = controller
    self.namespace = namespace.identifier
    lbaShift = UInt64(lbasPerBlock.trailingZeroBitCount)
    lbaShift32 = UInt32(lbasPerBlock.trailingZeroBitCount)
    blockCount = namespace.lbaCount / UInt64(lbasPerBlock)
    hasVolatileCache = capabilities.hasVolatileCache
    canDiscard = capabilities.canDeallocate(blocksOf: lbasPerBlock)
    canVerify = capabilities.canVerify
    canCompare = capabilities.canCompare(namespace)
    base = arena.iova
    memory = arena.base
    // A local variable, because of a compiler bug (Swift 6.3.1): where an operand of && is a property of a
    // partly initialized value, the optimiser treats the properties set after it as set, and destroys them.
    let isProtected = namespace.protection != nil
    self.isProtected = isProtected
    self.zeros = zeros?.iova
    zerosMemory = zeros?.base
    let limits = capabilities.transferLimits(for: namespace)
    transferLimits = limits
    writeZeroesLimits = capabilities.writeZeroesLimits(for: namespace)
    verifyLimits = capabilities.verifyLimits(for: namespace)
    wholeLimitOfReadyDevice = limits.boundary == 0 && !isProtected ? UInt64(limits.maximum) : 0
    wholeLimit = wholeLimitOfReadyDevice
    cacheLosses = controller.cacheLosses
    keepsAccount = readBack != nil
    self.readBack = readBack
    self.pair = pair
    pool = RequestPool(count: requests)
    deallocation = Deallocation(capabilities, lbasPerBlock: lbasPerBlock)
    zeroFrameList = ZeroFrames(count: Int(limits.maximum))
  }

  /// Takes the queue pair out, for the controller to delete it.
  consuming func takePair() -> QueuePair { pair }
}

/// A list of frame numbers that are all 0.
struct ZeroFrames: ~Copyable {
  private let list: UnsafeMutablePointer<UInt32>

  /// The first of the list.
  var first: UnsafePointer<UInt32> { UnsafePointer(list) }

  init(count: Int) {
    list = .allocate(capacity: count)
    list.initialize(repeating: 0, count: count)
  }

  deinit { list.deallocate() }
}
