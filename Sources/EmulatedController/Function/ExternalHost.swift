import Glibc
import NVMeSpec
import PCI

/// A host in another process: the calls that a server of the controller makes for it.
///
/// The host chooses the addresses of its memory, passes eventfds as interrupts, and stores to doorbells in
/// shared memory. As always, nothing happens between two calls.
extension EmulatedController {
  /// The size of BAR `index` in bytes; 0 where there is none. BAR 4 holds the MSI-X table, which is plain
  /// memory to a host that has its interrupts by eventfd.
  public func size(ofBAR index: Int) -> Int {
    switch index {
    case 0: barSize
    case ConfigurationSpace.tableBAR: ConfigurationSpace.tableSize(vectors: interruptVectors)
    default: 0
    }
  }

  /// Makes memory reachable for the controller.
  /// - Parameters:
  ///   - base: the memory, which stays mapped until `unmapMemory`.
  ///   - address: where the controller finds it.
  ///   - isRemote: whether `base` is but room for copies, and each access goes through `remoteMemory`.
  /// - Returns: false when it overlaps memory that is mapped.
  public func mapMemory(
    _ base: UnsafeMutableRawPointer, size: UInt64, at address: UInt64, access: HostAccess, isRemote: Bool
  ) -> Bool {
    // With remote memory, worker threads may have no work: work begun before is completed now.
    controller.completeWork()
    controller.isPolled = controller.sharedDoorbells != nil
    return controller.iommu.map(base, size, at: address, access, isRemote: isRemote)
  }

  /// Unmaps the memory that begins at an address; the controller does not access it afterwards.
  public func unmapMemory(at address: UInt64) {
    controller.completeWork()
    controller.iommu.unmap(at: address)
  }

  /// Carries out accesses to remote memory. A weak reference.
  public var remoteMemory: (any RemoteMemory)? {
    get { controller.iommu.remote.host }
    set { controller.iommu.remote.host = newValue }
  }

  /// Connects an interrupt vector to an eventfd, which the controller owns from then on; -1 turns the vector
  /// off.
  public func connectInterrupt(_ vector: Int, to descriptor: Int32) {
    controller.completeWork()
    controller.interrupts.connect(vector, to: descriptor)
    space.msixEnabled = controller.interrupts.isEnabled
  }

  /// Takes doorbells from memory: `base` is where BAR 0's byte `Register.doorbells` lies, up to the BAR's
  /// end. `pollDoorbells` reads them.
  public func shareDoorbells(_ base: UnsafeMutableRawPointer) {
    controller.sharedDoorbells?.deallocate()
    controller.sharedDoorbells = SharedDoorbells(
      base: base, size: barSize - Register.doorbells, shift: controller.doorbellShift)
  }

  /// Handles the shared doorbells that have changed.
  /// - Returns: whether any had changed.
  @inline(__always)
  public func pollDoorbells() -> Bool { controller.pollDoorbells() }

  /// The eventfd, owned by the caller, that signals when `service(now:)` has results to collect; -1 for none.
  public var workDescriptor: Int32 {
    get { controller.workDescriptor }
    set { controller.workDescriptor = newValue }
  }

  /// Whether the controller is enabled and fetches commands.
  @inline(__always)
  public var isRunning: Bool { controller.isRunning }

  /// Whether commands wait for `service(now:)`.
  public var awaitsService: Bool { controller.awaitsService }

  /// Detaches the host: a function-level reset that also unmaps all memory and disconnects all interrupts.
  public func detachHost() {
    controller.resetFunction()
    controller.iommu.unmapAll()
    controller.iommu.busMaster = false
    controller.interrupts.disable()
    space.reset()
  }
}
