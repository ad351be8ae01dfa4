import NVMeSpec
import PCI

/// The host memory buffer, for controllers that have too little memory of their own. Its contents are the
/// controller's, and the driver never reads them.
///
///     | the controller's pages | one page for the descriptor list |
final class HostMemoryBuffer {
  let arena: DMAArena
  private let pages: Int
  /// Whether the controller has had it before, so that after a reset it gets its contents back (MR).
  private(set) var wasLent = false
  /// Whether the controller has it.
  private(set) var isLent = false

  /// Memory of `pages` frames, mapped for `function`.
  init(pages: Int, function: any PCIFunction) throws(FunctionError) {
    self.pages = pages
    arena = try DMAArena(frames: pages + 1, name: "varve-host-memory")
    try function.map(arena)
  }

  /// How many frames to lend to a controller: its preferred size, within a limit; 0 where the limit is below
  /// its minimum.
  /// - Parameter limit: bytes.
  static func pages(for identity: IdentifyController, limit: Int) -> Int {
    let pages = min(Int(identity.preferredHostMemory), limit / DMAArena.frameSize)
    return pages >= max(Int(identity.minimumHostMemory), 1) ? pages : 0
  }

  /// The command that lends it: one descriptor, since the device sees an arena as one piece.
  func lend() -> SubmissionEntry {
    isLent = false
    let list = arena.pointer(UInt32(pages))
    list.storeBytes(
      of: HostMemoryDescriptor(address: arena.address(0), pages: UInt32(pages)), as: HostMemoryDescriptor.self
    )
    return SubmissionEntry(
      enableHostMemory: UInt32(pages), list: arena.address(UInt32(pages)), count: 1, isReturned: wasLent)
  }

  /// Records the end of that command.
  func end(succeeded: Bool) {
    isLent = succeeded
    wasLent = succeeded
  }
}

extension Controller {
  /// The command that lends memory to a controller that asks for some; nil where it does not, and where there
  /// is none.
  func hostMemoryCommand() -> SubmissionEntry? {
    let pages = HostMemoryBuffer.pages(for: identity, limit: options.hostMemoryLimit)
    guard pages > 0 else {
      remarkOnHostMemoryLimit()
      return nil
    }
    // A failure is ignored: the controller works without, only slower.
    if hostMemory == nil { hostMemory = try? HostMemoryBuffer(pages: pages, function: function) }
    return hostMemory?.lend()
  }

  /// Adds a remark when the controller's minimum is above the limit.
  private func remarkOnHostMemoryLimit() {
    let (minimum, limit) = (UInt64(identity.minimumHostMemory) * 4096, options.hostMemoryLimit)
    guard identity.preferredHostMemory > 0, minimum > limit else { return }
    let remark =
      "it asks for at least \(minimum >> 20) MiB of the host's memory (HMMIN), and can have \(limit >> 20)"
    if !remarks.contains(remark) { remarks.append(remark) }
  }

  /// Takes lent memory back. The controller may write to it until the command completes; if it fails, the
  /// shutdown ends the use.
  func disableHostMemory() {
    guard let hostMemory, hostMemory.isLent else { return }
    if (try? execute(.disableHostMemory)) != nil { hostMemory.end(succeeded: false) }
  }

  /// Bytes of the host's memory that are lent to the controller.
  public var lentMemory: Int {
    guard let hostMemory, hostMemory.isLent else { return 0 }
    return hostMemory.arena.size - DMAArena.frameSize
  }
}
