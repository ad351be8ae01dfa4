import Glibc

/// A PCI function as a driver sees it: configuration space, BARs, DMA mappings, interrupts, reset.
///
/// Kernel VFIO, vfio-user and the emulated controller each are one. A function belongs to one thread at a
/// time; only its interrupt descriptors may be waited on elsewhere.
public protocol PCIFunction: AnyObject {
  /// What a person calls it: `0000:01:00.0`, a socket's path, or an image's path.
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

  /// Makes a whole arena reachable for the device and sets its `iova`. Memory of it that was not touched
  /// before comes from the function's NUMA node, where that is known and has any.
  func map(_ arena: DMAArena) throws(FunctionError)

  /// Takes an arena away from the device. The device must no longer use it.
  func unmap(_ arena: DMAArena)

  /// How many interrupt vectors (MSI-X) the function offers; 0 when it has none.
  var interruptVectors: Int { get }

  /// Enables MSI-X vectors `0..<count` and returns one eventfd a vector, which stay the function's own.
  ///
  /// To be called before the controller is enabled: enabling MSI-X later loses interrupts on some devices.
  func enableInterrupts(count: Int) throws(FunctionError) -> [Int32]

  /// Turns bus mastering (DMA by the device) on or off.
  func setBusMaster(_ enabled: Bool)

  /// Function-level reset. All the device's state is lost; DMA mappings stay.
  func reset() throws(FunctionError)

  /// An eventfd that fires when the function is asked back (removal), where the transport has one.
  var removalDescriptor: Int32? { get }

  /// An eventfd that fires when the bus reports an uncorrectable error of the function (Advanced Error
  /// Reporting), where the transport has one.
  var errorDescriptor: Int32? { get }

  /// Makes a function answer again whose registers have read as all ones, as far as that is the host's to do:
  /// what a reset of the link has cleared in its configuration is written anew.
  func restoreChannel()

  /// How often what is behind the function has been started anew while the function was held, as far as that
  /// is known.
  var starts: Int { get }

  /// Whether what is behind the function may lose power, or be started anew, while this process lives.
  var mayLosePower: Bool { get }

  /// Whether `service` does anything.
  var needsService: Bool { get }

  /// Lends the caller's processor to a function that has none of its own, an emulated one, until it has
  /// nothing to do at monotonic time `now` (ns). Hardware does nothing here.
  /// - Returns: when it wants to be called next (ns, monotonic), `UInt64.max` when only after a doorbell.
  func service(now: UInt64) -> UInt64

  /// Gives the function back. Safe to call twice.
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

  /// Whether the function was asked back: it will not answer again.
  public var isTakenAway: Bool {
    guard let removalDescriptor else { return false }
    var entry = pollfd(fd: removalDescriptor, events: Int16(POLLIN), revents: 0)
    return poll(&entry, 1, 0) > 0
  }
}
