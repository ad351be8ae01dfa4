import NVMeSpec
import PCI

/// The memory that is lent to a controller which has too little of its own. The controller alone knows what
/// is in it, and the processor never looks.
///
///     | the controller's pages | one page for the descriptor list |
final class HostMemoryBuffer {
  let arena: DMAArena
  private let pages: Int
  /// Whether the controller has had it, so that after a reset it gets back what it had stored.
  private(set) var wasLent = false
  /// Whether the controller has it.
  private(set) var isLent = false

  /// Memory of `pages` frames, mapped for `function`.
  init(pages: Int, function: any PCIFunction) throws(FunctionError) {
    self.pages = pages
    arena = try DMAArena(frames: pages + 1, name: "varve-host-memory")
    try function.map(arena)
  }

  /// How many frames to lend to a controller: what it prefers, within a limit; 0 where that would be of no
  /// use to it.
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

  /// The controller has answered that command.
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
    // It works without, only slower.
    if hostMemory == nil { hostMemory = try? HostMemoryBuffer(pages: pages, function: function) }
    return hostMemory?.lend()
  }

  /// Says when the controller wants more memory than it can have.
  private func remarkOnHostMemoryLimit() {
    let (minimum, limit) = (UInt64(identity.minimumHostMemory) * 4096, options.hostMemoryLimit)
    guard identity.preferredHostMemory > 0, minimum > limit else { return }
    let remark =
      "it asks for at least \(minimum >> 20) MiB of the host's memory (HMMIN), and can have \(limit >> 20)"
    if !remarks.contains(remark) { remarks.append(remark) }
  }

  /// Takes lent memory back. Until the controller has agreed it may write there; where it does not, the
  /// shutdown ends that.
  func disableHostMemory() {
    guard let hostMemory, hostMemory.isLent else { return }
    if (try? execute(.disableHostMemory)) != nil { hostMemory.end(succeeded: false) }
  }

  /// Bytes of the host's memory that the controller has the use of.
  public var lentMemory: Int {
    guard let hostMemory, hostMemory.isLent else { return 0 }
    return hostMemory.arena.size - DMAArena.frameSize
  }
}
