import EmulatedController
import NVMeSpec
import PCI

/// What the emulated controller is put through by a host that may do anything: registers, doorbells and queue memory of
/// any value, as a host in another process could give it.
public struct HostWork {
  private static let queueFrames: UInt32 = 4

  /// Works on a fresh controller as `doubt` says.
  /// - Throws: when the controller cannot be made.
  public init(_ doubt: Doubt) throws(FunctionError) {
    var doubt = doubt
    var configuration = EmulatedController.Configuration(
      namespaces: [
        .init(.memory(bytes: 1 << 16)), .init(.memory(bytes: 1 << 16), blockSize: 512),
      ])
    configuration.mode = .stepped
    configuration.queuePairs = 3
    let controller = try EmulatedController(configuration, name: "fuzzed")
    let window = try controller.openBAR(0)
    let arena = try DMAArena(frames: 16)
    try controller.map(arena)
    controller.setBusMaster(true)
    enable(window, arena)
    var tail: UInt32 = 0
    for _ in 0..<400 where doubt.isLeft { step(window, arena, &tail, &doubt) }
    _ = controller.service(now: 1 << 40)
    controller.close()
  }

  private func enable(_ window: RegisterWindow, _ arena: DMAArena) {
    var sizes = AdminQueueAttributes(rawValue: 0)
    sizes.submissionSize = 63
    sizes.completionSize = 255
    window.store32(sizes.rawValue, at: Register.adminQueueAttributes)
    window.store64(arena.address(0), at: Register.adminSubmissionQueue)
    window.store64(arena.address(1), at: Register.adminCompletionQueue)
    var configuration = ControllerConfiguration(rawValue: 0)
    configuration.submissionEntrySize = SubmissionEntry.sizeExponent
    configuration.completionEntrySize = CompletionEntry.sizeExponent
    configuration.enabled = true
    window.store32(configuration.rawValue, at: Register.configuration)
  }

  private func step(_ window: RegisterWindow, _ arena: DMAArena, _ tail: inout UInt32, _ doubt: inout Doubt) {
    switch doubt.choice(of: 8) {
    case 0, 1, 2, 3:
      put(command(arena, &doubt), arena, &tail)
      window.store32(tail, at: Register.doorbells)
      window.store32(UInt32(truncatingIfNeeded: doubt.bits()) & 0xff, at: Register.doorbells + 4)
    case 4:
      let offset = Register.doorbells + 4 * Int(doubt.choice(of: 10))
      window.store32(UInt32(truncatingIfNeeded: doubt.bits()) & 0xff, at: offset)
    case 5: window.store32(UInt32(truncatingIfNeeded: doubt.bits()), at: 4 * Int(doubt.choice(of: 20)))
    case 6: _ = window.load64(at: 4 * Int(doubt.choice(of: 255)))
    default: doubt.spoil(UnsafeMutableRawBufferPointer(start: arena.base, count: arena.size))
    }
  }

  /// A command whose fields are near to something sensible.
  private func command(_ arena: DMAArena, _ doubt: inout Doubt) -> SubmissionEntry {
    var entry = SubmissionEntry()
    let opcodes: [UInt8] = [0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 0x80]
    entry.opcode = opcodes[Int(doubt.choice(of: UInt8(opcodes.count)))]
    entry.namespace = UInt32(doubt.choice(of: 4))
    entry.prp1 = arena.address(UInt32(doubt.choice(of: 16)))
    entry.prp2 = arena.address(UInt32(doubt.choice(of: 16)))
    entry.cdw10 = UInt32(doubt.choice(of: 32)) | UInt32(doubt.choice(of: 64)) << 16
    entry.cdw11 = UInt32(doubt.choice(of: 4))
    if doubt.choice(of: 4) == 3 {
      withUnsafeMutableBytes(of: &entry) { doubt.spoil($0) }
    }
    return entry
  }

  private func put(_ entry: SubmissionEntry, _ arena: DMAArena, _ tail: inout UInt32) {
    arena.base.storeBytes(of: entry, toByteOffset: Int(tail) * SubmissionEntry.size, as: SubmissionEntry.self)
    tail = (tail + 1) % 64
  }
}
