import Block
import BlockProtocol
import CMachine
import Glibc
import PCI

/// A device in memory with a short queue, which completes in pseudo-random order.
final class MemoryDevice: BlockDevice {
  let name = "memory"
  let blockCount: UInt64
  let hasVolatileCache = true
  let canDiscard = true
  let arena: DMAArena
  var frameMemory: UnsafeMutableRawBufferPointer {
    UnsafeMutableRawBufferPointer(start: arena.base, count: arena.size)
  }
  /// Commands that fail, by their place in the order of submission, with the errno.
  var failures: [Int: Int32] = [:]
  /// How many polls it takes until a completion has arrived.
  var pollsUntilArrival = 1
  private var polls = 0
  /// Every command in the order of submission.
  private(set) var submitted: [BlockCommand.Operation] = []
  private(set) var largestInFlight = 0
  private(set) var isClosed = false

  private let depth: Int
  private let interrupt: Int32?
  private var random: UInt64
  private var blocks: [UInt64: [UInt8]] = [:]
  private var inFlight: [(command: BlockCommand, number: Int)] = []

  init(blocks: UInt64, arena: DMAArena, depth: Int, seed: UInt64, interrupts: Bool = true) {
    blockCount = blocks
    self.arena = arena
    self.depth = depth
    random = seed | 1
    interrupt = interrupts ? cm_eventfd() : nil
  }

  deinit { if let interrupt { Glibc.close(interrupt) } }

  func submit(_ command: BlockCommand) -> Bool {
    guard inFlight.count < depth else { return false }
    inFlight.append((command, submitted.count))
    submitted.append(command.operation)
    largestInFlight = max(largestInFlight, inFlight.count)
    return true
  }

  func ring() {
    guard let interrupt else { return }
    var one: UInt64 = 1
    _ = write(interrupt, &one, 8)
  }

  func poll(_ completions: inout [BlockCompletion], limit: Int) {
    polls += 1
    guard polls % pollsUntilArrival == 0 else { return }
    var left = min(limit, inFlight.count)
    while left > 0 {
      random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      // Now and then no further completion has arrived yet.
      if random >> 60 == 0, !inFlight.isEmpty { break }
      let (command, number) = inFlight.remove(at: Int(random >> 33) % inFlight.count)
      let code = failures[number] ?? 0
      if code == 0 { transfer(command) }
      completions.append(BlockCompletion(tag: command.tag, errno: code, number: command.number))
      left -= 1
    }
  }

  var nextDeadline: UInt64 { .max }
  func prepareToSleep() -> Bool { interrupt == nil || inFlight.isEmpty }
  var interruptDescriptor: Int32? { interrupt }
  var removalDescriptor: Int32? { nil }
  func close() { isClosed = true }

  private func transfer(_ command: BlockCommand) {
    guard let frames = command.frames else { return }
    for index in 0..<Int(command.count) {
      let memory = UnsafeMutableRawBufferPointer(start: arena.pointer(frames[index]), count: 4096)
      let block = command.block + UInt64(index)
      switch command.operation {
      case .read: memory.copyBytes(from: blocks[block] ?? [UInt8](repeating: 0, count: 4096))
      case .write: blocks[block] = Array(memory)
      case .flush, .discard, .writeZeroes, .verify, .compare: break
      }
    }
  }
}
