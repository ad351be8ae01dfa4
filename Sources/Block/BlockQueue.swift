import NVMe
import NVMeSpec
import PCI

/// The working state of a namespace device: its queue pair, and the requests under way in it.
///
/// It lives at a fixed place in memory, so that the path of a request touches no object and takes no locks of
/// the language's own.
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
  /// Zeroes, or none that makes protection information.
  let zeros: UInt64?
  let zerosMemory: UnsafeMutableRawPointer?
  let transferLimits: TransferLimits
  let writeZeroesLimits: TransferLimits
  let verifyLimits: TransferLimits
  /// Blocks of which one NVMe command transfers any number up to this, wherever they lie; 0 where there is a
  /// boundary, and while the device has to be looked at after a loss of power.
  var wholeLimit: UInt64
  let wholeLimitOfReadyDevice: UInt64
  let readOpcode = IOOpcode.read
  let writeOpcode = IOOpcode.write

  var pair: QueuePair
  var pool: RequestPool
  /// Requests with blocks that no NVMe command has been posted for, since the queue pair was full.
  var waiting = RequestQueue()
  /// Discards that no NVMe command has been posted for.
  var discards = RequestQueue()
  /// Requests that are over and have not been reported.
  var ended = RequestQueue()
  var deallocation: Deallocation

  // What is not durable, and the proof that it is there.
  var unflushed = UnflushedWrites()
  /// Whether `unflushed` is kept: the device may lose power while this process lives.
  let keepsAccount: Bool
  var proof = Proof.none
  /// Where blocks are read back to; nil where no account is kept.
  let readBack: ReadBack?
  /// What was found missing, once a proof has failed.
  var loss: String?
  /// `Controller.cacheLosses` when it was last looked at.
  var cacheLosses: UInt64
  /// Where `unflushed` ended when the flush was posted that is to make room in it; nil while none is under
  /// way.
  var ownFlushPlace: UInt64?
  /// The error of such a flush, for the next who wants to know; 0 for none.
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
    // A local: where an operand of && is a property of a value that is not complete yet, the optimiser takes
    // the properties set after it for set before, and destroys what is not there (Swift 6.3.1).
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

  /// Takes the queue pair out, to be given back to the controller.
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
