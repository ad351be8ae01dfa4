import Glibc

/// A PCI function as a driver sees it: configuration space, BARs, DMA mappings, interrupts, reset.
///
/// Kernel VFIO, vfio-user and the emulated controller implement it. A function belongs to one thread at a
/// time; other threads may only wait on its interrupt descriptors.
public protocol PCIFunction: AnyObject {
  /// The name in messages: `0000:01:00.0`, a socket's path, or an image's path.
  var name: String { get }

  /// Reads `width` bytes (1, 2 or 4) of configuration space at byte `offset`; all ones when the function is
  /// gone.
  func readConfiguration(at offset: Int, width: Int) -> UInt32

  /// Writes `width` bytes (1, 2 or 4) of configuration space at byte `offset`.
  func writeConfiguration(_ value: UInt32, at offset: Int, width: Int)

  /// Opens BAR `index` (0...5). The window stays valid until the function is closed.
  func openBAR(_ index: Int) throws(FunctionError) -> RegisterWindow

  /// Whether another process has to map the arenas, so that they must be shared memory.
  var needsSharedMemory: Bool { get }

  /// Makes a whole arena reachable for the device and sets its `iova`. Its pages that are not allocated yet
  /// come from the function's NUMA node, where that is known and has free memory.
  func map(_ arena: DMAArena) throws(FunctionError)

  /// Unmaps an arena from the device, which must no longer use it.
  func unmap(_ arena: DMAArena)

  /// How many interrupt vectors (MSI-X) the function offers; 0 when it has none.
  var interruptVectors: Int { get }

  /// Enables MSI-X vectors `0..<count` and returns one eventfd a vector, which the function owns.
  ///
  /// To be called before the controller is enabled: enabling MSI-X later loses interrupts on some devices.
  func enableInterrupts(count: Int) throws(FunctionError) -> [Int32]

  /// Turns bus mastering (DMA by the device) on or off.
  func setBusMaster(_ enabled: Bool)

  /// Function-level reset. All the device's state is lost; DMA mappings stay.
  func reset() throws(FunctionError)

  /// An eventfd that fires when the function is to be removed (device request), where the transport has one.
  var removalDescriptor: Int32? { get }

  /// An eventfd that fires when the bus reports an uncorrectable error of the function (Advanced Error
  /// Reporting), where the transport has one.
  var errorDescriptor: Int32? { get }

  /// Does the host's part of making a function answer again whose registers read as all ones: restores the
  /// configuration registers that a reset of the link has cleared.
  func restoreChannel()

  /// How often the server behind the function has been restarted while the function was open, as far as that
  /// is known.
  var starts: Int { get }

  /// Whether the device may lose power, or its server be restarted, while this process runs.
  var mayLosePower: Bool { get }

  /// Whether `service` does anything.
  var needsService: Bool { get }

  /// Runs an emulated function in the caller's thread until it has nothing to do at monotonic time `now`
  /// (ns). Does nothing for hardware.
  /// - Returns: when to call it next (ns, monotonic), `UInt64.max` when only after a doorbell.
  func service(now: UInt64) -> UInt64

  /// Closes the function. Safe to call twice.
  func close()
}

extension PCIFunction {
  public var errorDescriptor: Int32? { nil }
  public var starts: Int { 0 }
  public var mayLosePower: Bool { true }
  public var needsService: Bool { false }
  public var needsSharedMemory: Bool { false }
  public func service(now: UInt64) -> UInt64 { .max }
  public func restoreChannel() {}

  /// Whether removal of the function was requested: it will not answer again.
  public var isTakenAway: Bool {
    guard let removalDescriptor else { return false }
    var entry = pollfd(fd: removalDescriptor, events: Int16(POLLIN), revents: 0)
    return poll(&entry, 1, 0) > 0
  }
}
