import Glibc
import NVMeSpec
import PCI

/// The memory that Doorbell Buffer Config gives a controller: a page of doorbell values, written by the host,
/// and one of event indexes, written by the controller, both laid out as the doorbells in BAR 0 are.
final class ShadowDoorbells {
  let arena: DMAArena
  /// Whether the controller uses it.
  private(set) var isActive = false

  /// Memory mapped for `function`.
  init(function: any PCIFunction) throws(FunctionError) {
    arena = try DMAArena(frames: 2, name: "varve-doorbells")
    try function.map(arena)
  }

  /// The command that gives it to the controller, with all values zero, as those of new queues are.
  func configure() -> SubmissionEntry {
    isActive = false
    memset(arena.base, 0, arena.size)
    var command = SubmissionEntry(.doorbellBufferConfig)
    command.prp1 = arena.address(0)
    command.prp2 = arena.address(1)
    return command
  }

  /// Records the end of that command.
  func end(succeeded: Bool) { isActive = succeeded }

  /// Zeroes the shadows of a queue pair that does not exist yet; there may have been another under its
  /// identifier.
  func clear(queue: UInt16, stride: UInt8) {
    let offset = Doorbell.submissionTail(queue: queue, stride: stride) - Register.doorbells
    let length = 2 * Doorbell.distance(stride)
    guard (0...DMAArena.frameSize - length).contains(offset) else { return }
    memset(arena.base + offset, 0, length)
    memset(arena.pointer(1) + offset, 0, length)
  }

  /// The shadow of a doorbell and its event index; nil while the controller does not use it, and for a queue
  /// beyond the page.
  func shadow(of register: DoorbellRegister) -> (
    value: UnsafeMutableRawPointer, event: UnsafeMutableRawPointer
  )? {
    let offset = register.offset - Register.doorbells
    guard isActive, (0...DMAArena.frameSize - 4).contains(offset) else { return nil }
    return (arena.base + offset, arena.pointer(1) + offset)
  }
}

extension QueuePair {
  /// Starts using shadow doorbells, or stops with nil.
  mutating func useShadows(_ doorbells: ShadowDoorbells?) {
    tailDoorbell.shadow = doorbells?.shadow(of: tailDoorbell)
    headDoorbell.shadow = doorbells?.shadow(of: headDoorbell)
    updateFastPath()
  }
}
