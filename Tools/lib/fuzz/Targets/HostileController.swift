import CMachine
import NVMeSpec
import PCI

/// A controller that follows the protocol only as far as it is left to, and otherwise gives registers, data,
/// statuses, identifiers and queue heads that no driver expects.
public final class HostileController: PCIFunction, RegisterAccess {
  /// How many of 16 answers are as they should be.
  public struct Honesty: Sendable {
    /// Values of registers.
    public var registers: UInt8 = 16
    /// Data and results of admin commands.
    public var data: UInt8 = 16
    /// Completion entries.
    public var completions: UInt8 = 16

    public init(registers: UInt8 = 16, data: UInt8 = 16, completions: UInt8 = 16) {
      (self.registers, self.data, self.completions) = (registers, data, completions)
    }
  }

  public let name = "hostile"
  public let interruptVectors = 0
  public let removalDescriptor: Int32? = nil

  private var doubt: Doubt
  private let honesty: Honesty
  private var registers: [Int: UInt32] = [:]
  private var queues: [UInt16: Queue] = [:]
  private var completionAddresses: [UInt16: UInt64] = [:]
  private var capabilities = ControllerCapabilities(rawValue: 0)

  private struct Queue {
    var submission: UInt64
    var completion: UInt64
    var entries: UInt32
    var head: UInt32 = 0
    var tail: UInt32 = 0
    var phase = true
  }

  public init(_ doubt: Doubt, _ honesty: Honesty) {
    self.doubt = doubt
    self.honesty = honesty
    capabilities.maximumQueueEntries = 63
    capabilities.nvmCommandSet = true
    capabilities.timeout = 2
    if self.doubt.strikes(honesty.registers) {
      capabilities = ControllerCapabilities(rawValue: self.doubt.bits())
      // Most values are refused at once, which does not try much.
      if self.doubt.choice(of: 8) != 0 {
        capabilities.minimumPageSize = 0
        capabilities.nvmCommandSet = true
        capabilities.doorbellStride = 0
      }
    }
  }

  // MARK: Registers

  public func load32(at offset: Int) -> UInt32 {
    let value: UInt32
    switch offset {
    case Register.capabilities: value = UInt32(truncatingIfNeeded: capabilities.rawValue)
    case Register.capabilities + 4: value = UInt32(truncatingIfNeeded: capabilities.rawValue >> 32)
    case Register.version: value = Version(2, 0).rawValue
    case Register.status: value = status
    default: value = registers[offset] ?? 0
    }
    return doubt.strikes(honesty.registers) ? UInt32(truncatingIfNeeded: doubt.bits()) : value
  }

  public func load64(at offset: Int) -> UInt64 {
    UInt64(load32(at: offset)) | UInt64(load32(at: offset + 4)) << 32
  }

  public func store32(_ value: UInt32, at offset: Int) {
    registers[offset] = value
    if offset == Register.configuration, value & 1 == 0 {
      queues = [:]
      registers = registers.filter { $0.key < Register.doorbells }
    }
    if offset >= Register.doorbells { run() }
  }

  public func store64(_ value: UInt64, at offset: Int) {
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
    return status.rawValue
  }

  private func register(_ offset: Int) -> UInt32 { registers[offset] ?? 0 }

  private func address(_ offset: Int) -> UInt64 {
    UInt64(register(offset)) | UInt64(register(offset + 4)) << 32
  }

  // MARK: Commands

  private func run() {
    if queues[0] == nil, configuration.enabled {
      let sizes = AdminQueueAttributes(rawValue: register(Register.adminQueueAttributes))
      queues[0] = Queue(
        submission: address(Register.adminSubmissionQueue),
        completion: address(Register.adminCompletionQueue),
        entries: UInt32(sizes.submissionSize) + 1)
    }
    for number in queues.keys.sorted() { serve(number) }
  }

  private func serve(_ number: UInt16) {
    let doorbell = Doorbell.submissionTail(queue: number, stride: 0)
    while let queue = queues[number], queue.head != register(doorbell), register(doorbell) < queue.entries {
      guard let memory = UnsafeRawPointer(bitPattern: UInt(queue.submission)) else { return }
      let command = memory.load(
        fromByteOffset: Int(queue.head) * SubmissionEntry.size, as: SubmissionEntry.self)
      queues[number]?.head = queue.head + 1 == queue.entries ? 0 : queue.head + 1
      let result = number == 0 ? administer(command) : 0
      let isEvent = number == 0 && command.opcode == AdminOpcode.asynchronousEventRequest.rawValue
      if isEvent, !doubt.isLeft || doubt.choice(of: 8) != 1 { continue }
      complete(command, on: number, result)
    }
  }

  /// Carries an admin command out.
  /// - Returns: dword 0 of its completion.
  private func administer(_ command: SubmissionEntry) -> UInt32 {
    var result: UInt32 = 0
    switch AdminOpcode(rawValue: command.opcode) {
    case .identify: identify(command)
    case .getLogPage: give(command) { _ in }
    case .setFeatures where command.feature == .numberOfQueues: result = command.cdw11
    case .createCompletionQueue: completionAddresses[command.queueIdentifier] = command.prp1
    case .createSubmissionQueue:
      queues[command.queueIdentifier] = Queue(
        submission: command.prp1, completion: completionAddresses[command.queueIdentifier] ?? 0,
        entries: UInt32(command.queueEntries))
    default: break
    }
    return doubt.strikes(honesty.data) ? UInt32(truncatingIfNeeded: doubt.bits()) : result
  }

  private func identify(_ command: SubmissionEntry) {
    give(command) { page in
      switch command.identifyStructure {
      case .controller:
        var identity = IdentifyController()
        identity.namespaceCount = 2
        identity.volatileWriteCache = 1
        identity.asynchronousEventLimit = 3
        identity.ioCommands = [.datasetManagement, .writeZeroes]
        identity.encode(into: page)
      case .activeNamespaces: NamespaceList(command.namespace == 0 ? [1, 2] : []).encode(into: page)
      case .namespace:
        var identity = IdentifyNamespace()
        identity.size = 1024
        identity.formats = [LBAFormat(exponent: 9)]
        identity.encode(into: page)
      default: break
      }
    }
  }

  /// Gives a command its data, a page or less, and perhaps spoils it.
  private func give(_ command: SubmissionEntry, _ fill: (UnsafeMutableRawBufferPointer) -> Void) {
    let isLog = command.opcode == AdminOpcode.getLogPage.rawValue
    let count = isLog ? min(Int(command.logLength), 4096) : IdentifyStructure.size
    let page = UnsafeMutableRawBufferPointer(
      start: UnsafeMutableRawPointer(bitPattern: UInt(command.prp1)), count: count)
    guard page.baseAddress != nil else { return }
    page.initializeMemory(as: UInt8.self, repeating: 0)
    fill(page)
    if doubt.strikes(honesty.data) { doubt.spoil(page) }
  }

  private func complete(_ command: SubmissionEntry, on number: UInt16, _ result: UInt32) {
    guard let queue = queues[number] else { return }
    var entry = CompletionEntry()
    entry.result = result
    entry.submissionHead = UInt16(queue.head)
    entry.submissionQueue = number
    entry.commandIdentifier = command.commandIdentifier
    if doubt.strikes(honesty.completions) {
      switch doubt.choice(of: 7) {
      case 0: return
      case 1: entry.commandIdentifier = UInt16(truncatingIfNeeded: doubt.bits())
      case 2: entry.status = Status(rawValue: UInt16(truncatingIfNeeded: doubt.bits()))
      case 3: entry.submissionHead = UInt16(truncatingIfNeeded: doubt.bits())
      case 4: entry.submissionQueue = UInt16(truncatingIfNeeded: doubt.bits())
      case 5: write(entry, number, phase: !queue.phase)
      default: write(entry, number, phase: queue.phase)
      }
    }
    write(entry, number, phase: queues[number]?.phase ?? true)
  }

  private func write(_ entry: CompletionEntry, _ number: UInt16, phase: Bool) {
    guard let queue = queues[number],
      let memory = UnsafeMutableRawPointer(bitPattern: UInt(queue.completion))
    else { return }
    var entry = entry
    entry.phase = phase
    memory.storeBytes(
      of: entry, toByteOffset: Int(queue.tail) * CompletionEntry.size, as: CompletionEntry.self)
    let isLast = queue.tail + 1 == queue.entries
    queues[number]?.tail = isLast ? 0 : queue.tail + 1
    if isLast { queues[number]?.phase.toggle() }
  }

  // MARK: The function

  public func readConfiguration(at offset: Int, width: Int) -> UInt32 { 0 }
  public func writeConfiguration(_ value: UInt32, at offset: Int, width: Int) {}
  public func openBAR(_ index: Int) -> RegisterWindow { RegisterWindow(access: self, size: 0x2000) }
  public func map(_ arena: DMAArena) { arena.iova = UInt64(UInt(bitPattern: arena.base)) }
  public func unmap(_ arena: DMAArena) { arena.iova = .max }
  public func enableInterrupts(count: Int) -> [Int32] { [] }
  public func setBusMaster(_ enabled: Bool) {}
  public func reset() {
    registers = [:]
    queues = [:]
  }
  public func close() {}
}
