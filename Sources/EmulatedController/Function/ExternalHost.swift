import Glibc
import NVMeSpec
import PCI

/// A host in another process: what a server of the controller does on its behalf.
///
/// Memory lies where the host says, interrupts are eventfds it has passed, and doorbells are stored to in
/// memory that both share. Between two calls nothing happens, as ever.
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
    // What threads were given before would not be there for remote memory.
    controller.completeWork()
    controller.isPolled = controller.sharedDoorbells != nil
    return controller.iommu.map(base, size, at: address, access, isRemote: isRemote)
  }

  /// Takes the memory away that begins at an address; nothing touches it afterwards.
  public func unmapMemory(at address: UInt64) {
    controller.completeWork()
    controller.iommu.unmap(at: address)
  }

  /// Who reaches remote memory. Not kept alive.
  public var remoteMemory: (any RemoteMemory)? {
    get { controller.iommu.remote.host }
    set { controller.iommu.remote.host = newValue }
  }

  /// Lets an interrupt vector signal an eventfd, which is the controller's own from here on; -1 turns it off.
  public func connectInterrupt(_ vector: Int, to descriptor: Int32) {
    controller.completeWork()
    controller.interrupts.connect(vector, to: descriptor)
    space.msixEnabled = controller.interrupts.isEnabled
  }

  /// Takes doorbells from memory: `base` is where BAR 0's byte `Register.doorbells` lies, up to the BAR's
  /// end. They are looked at by `pollDoorbells`.
  public func shareDoorbells(_ base: UnsafeMutableRawPointer) {
    controller.sharedDoorbells?.deallocate()
    controller.sharedDoorbells = SharedDoorbells(
      base: base, size: barSize - Register.doorbells, shift: controller.doorbellShift)
  }

  /// Does what the shared doorbells announce.
  /// - Returns: whether any had changed.
  @inline(__always)
  public func pollDoorbells() -> Bool { controller.pollDoorbells() }

  /// The eventfd, the caller's own, that tells when `service(now:)` has something to bring in; -1 for none.
  public var workDescriptor: Int32 {
    get { controller.workDescriptor }
    set { controller.workDescriptor = newValue }
  }

  /// Whether the host has the controller enabled, and it fetches commands.
  @inline(__always)
  public var isRunning: Bool { controller.isRunning }

  /// Whether commands wait for `service(now:)`.
  public var awaitsService: Bool { controller.awaitsService }

  /// Forgets the host: a function-level reset, with no memory mapped and no interrupt connected afterwards.
  public func detachHost() {
    controller.resetFunction()
    controller.iommu.unmapAll()
    controller.iommu.busMaster = false
    controller.interrupts.disable()
    space.reset()
  }
}
