import CMachine
import NVMeSpec
import PCI
import TestSupport

/// A controller that follows the protocol only as far as it must to be talked to, and fills everything else with
/// random bits: identify data, results, statuses, identifiers, queue heads, events.
final class HostileController: Function, RegisterAccess {
  let name = "hostile"
  let numaNode: Int? = nil
  let interruptVectors = 0
  let removalDescriptor: Int32? = nil

  private var random: SplitMix
  private var registers: [Int: UInt32] = [:]
  private var queues: [UInt16: Queue] = [:]
  private var completionAddresses: [UInt16: UInt64] = [:]
  private let capabilities: UInt64
  /// How many of 16 answers are as they should be.
  private let honesty: UInt64

  private struct Queue {
    var submission: UInt64
    var completion: UInt64
    var entries: UInt32
    var head: UInt32 = 0
    var tail: UInt32 = 0
    var phase = true
  }

  init(seed: UInt64, honesty: UInt64) {
    random = SplitMix(seed: seed)
    self.honesty = honesty
    var capabilities = ControllerCapabilities(rawValue: random.next())
    if honesty > 0 {
      capabilities.minimumPageSize = 0
      capabilities.nvmCommandSet = true
      capabilities.doorbellStride = 0
      capabilities.timeout = 2
      capabilities.readyWithMedia = false
    }
    self.capabilities = capabilities.rawValue
  }

  private var isHonest: Bool { random.next() % 16 < honesty }

  func load32(at offset: Int) -> UInt32 {
    switch offset {
    case Register.capabilities: return UInt32(truncatingIfNeeded: capabilities)
    case Register.capabilities + 4: return UInt32(truncatingIfNeeded: capabilities >> 32)
    case Register.version: return Version(2, 0).rawValue
    case Register.status: return status
    default: return registers[offset] ?? 0
    }
  }

  func load64(at offset: Int) -> UInt64 { UInt64(load32(at: offset)) | UInt64(load32(at: offset + 4)) << 32 }

  func store32(_ value: UInt32, at offset: Int) {
    registers[offset] = value
    if offset == Register.configuration, value & 1 == 0 { queues = [:] }
    if offset >= Register.doorbells { run() }
  }

  func store64(_ value: UInt64, at offset: Int) {
    store32(UInt32(truncatingIfNeeded: value), at: offset)
    store32(UInt32(truncatingIfNeeded: value >> 32), at: offset + 4)
  }

  private var configuration: ControllerConfiguration {
    ControllerConfiguration(rawValue: registers[Register.configuration] ?? 0)
  }

  private var status: UInt32 {
    var status = ControllerStatus(rawValue: 0)
    status.ready = configuration.enabled
    if configuration.shutdown != .none { status.shutdown = .complete }
    if configuration.enabled, random.next() % 1024 == 0, honesty < 16 { status.fatal = true }
    return status.rawValue
  }

  private func run() {
    if queues[0] == nil, configuration.enabled {
      let sizes = AdminQueueAttributes(rawValue: load32(at: Register.adminQueueAttributes))
      queues[0] = Queue(
        submission: load64(at: Register.adminSubmissionQueue),
        completion: load64(at: Register.adminCompletionQueue), entries: UInt32(sizes.submissionSize) + 1)
    }
    for number in queues.keys.sorted() { serve(number) }
  }

  private func serve(_ number: UInt16) {
    let doorbell = Doorbell.submissionTail(queue: number, stride: 0)
    while let queue = queues[number], queue.head != registers[doorbell] ?? 0 {
      guard let memory = UnsafeRawPointer(bitPattern: UInt(queue.submission)) else { return }
      let command = memory.load(
        fromByteOffset: Int(queue.head) * SubmissionEntry.size, as: SubmissionEntry.self)
      queues[number]?.head = queue.head + 1 == queue.entries ? 0 : queue.head + 1
      if number == 0 { administer(command) }
      let isEvent = number == 0 && command.opcode == AdminOpcode.asynchronousEventRequest.rawValue
      if isEvent, random.next() % 8 != 0 { continue }
      complete(command, on: number)
    }
  }

  private func administer(_ command: SubmissionEntry) {
    switch AdminOpcode(rawValue: command.opcode) {
    case .identify:
      let start = UnsafeMutableRawPointer(bitPattern: UInt(command.prp1))
      let answer = UnsafeMutableRawBufferPointer(start: start, count: IdentifyStructure.size)
      answer.copyBytes(from: random.bytes(IdentifyStructure.size))
      if isHonest, command.identifyStructure == .activeNamespaces {
        NamespaceList(command.namespace == 0 ? [1, 2] : []).encode(into: answer)
      }
      if isHonest, command.identifyStructure == .namespace {
        answer[26] = 0
        answer.storeBytes(of: LBAFormat(exponent: 9).rawValue, toByteOffset: 128, as: UInt32.self)
      }
    case .createCompletionQueue: completionAddresses[command.queueIdentifier] = command.prp1
    case .createSubmissionQueue:
      queues[command.queueIdentifier] = Queue(
        submission: command.prp1, completion: completionAddresses[command.queueIdentifier] ?? 0,
        entries: UInt32(command.queueEntries))
    default: break
    }
  }

  private func complete(_ command: SubmissionEntry, on number: UInt16) {
    guard let queue = queues[number],
      let memory = UnsafeMutableRawPointer(bitPattern: UInt(queue.completion))
    else { return }
    if !isHonest, random.next() % 4 == 0 { return }
    var entry = CompletionEntry()
    entry.result = UInt32(truncatingIfNeeded: random.next())
    entry.submissionHead = isHonest ? UInt16(queue.head) : UInt16(truncatingIfNeeded: random.next())
    entry.commandIdentifier = isHonest ? command.commandIdentifier : UInt16(truncatingIfNeeded: random.next())
    entry.status = isHonest ? .success : Status(rawValue: UInt16(truncatingIfNeeded: random.next()))
    entry.phase = queue.phase
    memory.storeBytes(
      of: entry, toByteOffset: Int(queue.tail) * CompletionEntry.size, as: CompletionEntry.self)
    let isLast = queue.tail + 1 == queue.entries
    queues[number]?.tail = isLast ? 0 : queue.tail + 1
    if isLast { queues[number]?.phase.toggle() }
  }

  func readConfiguration(at offset: Int, width: Int) -> UInt32 { 0 }
  func writeConfiguration(_ value: UInt32, at offset: Int, width: Int) {}
  func openBAR(_ index: Int) -> RegisterWindow { RegisterWindow(access: self, size: 0x2000) }
  func map(_ arena: DMAArena) { arena.iova = UInt64(UInt(bitPattern: arena.base)) }
  func unmap(_ arena: DMAArena) { arena.iova = .max }
  func enableInterrupts(count: Int) -> [Int32] { [] }
  func setBusMaster(_ enabled: Bool) {}
  func reset() {
    registers = [:]
    queues = [:]
  }
  func close() {}
}
