import CMachine
import NVMeSpec
import PCI

/// The least device a driver can be measured against: every I/O command succeeds at once and moves no data.
///
/// BAR 0 is plain memory. The device looks at it only in `service`, which the benchmark calls between submission and
/// completion, so all its cost is in that one function and can be told from the driver's.
final class NullController: PCIFunction {
  let name = "null"
  let interruptVectors = 0
  let removalDescriptor: Int32? = nil

  private let bar: UnsafeMutableRawPointer
  private static let barSize = 0x2000
  private var queues: [NullQueue] = []
  private var completionAddresses: [UInt16: UInt64] = [:]

  init() {
    bar = .allocate(byteCount: Self.barSize, alignment: 4096)
    bar.initializeMemory(as: UInt8.self, repeating: 0, count: Self.barSize)
    var capabilities = ControllerCapabilities(rawValue: 0)
    capabilities.maximumQueueEntries = 4095
    capabilities.contiguousQueuesRequired = true
    capabilities.nvmCommandSet = true
    capabilities.timeout = 1
    cm_store64(bar + Register.capabilities, capabilities.rawValue)
    cm_store32(bar + Register.version, Version(1, 4).rawValue)
  }

  deinit { bar.deallocate() }

  func readConfiguration(at offset: Int, width: Int) -> UInt32 { 0 }
  func writeConfiguration(_ value: UInt32, at offset: Int, width: Int) {}
  func openBAR(_ index: Int) -> RegisterWindow { RegisterWindow(mapping: bar, size: Self.barSize) }
  func map(_ arena: DMAArena) { arena.iova = UInt64(UInt(bitPattern: arena.base)) }
  func unmap(_ arena: DMAArena) { arena.iova = .max }
  func enableInterrupts(count: Int) -> [Int32] { [] }
  func setBusMaster(_ enabled: Bool) {}
  func reset() {}
  func close() {}

  @inline(never)
  func service(now: UInt64) -> UInt64 {
    followConfiguration()
    for queue in queues {
      let tail = cm_load32(bar + Doorbell.submissionTail(queue: queue.identifier, stride: 0))
      while let command = queue.next(tail: tail) {
        if queue.identifier != 0 {
          queue.complete(command, result: 0)
        } else if command.opcode != AdminOpcode.asynchronousEventRequest.rawValue {
          queue.complete(command, result: carryOut(command))
        }
      }
    }
    return .max
  }

  /// CSTS follows CC at once.
  private func followConfiguration() {
    let configuration = ControllerConfiguration(rawValue: cm_load32(bar + Register.configuration))
    var status = ControllerStatus(rawValue: 0)
    status.ready = configuration.enabled
    if configuration.shutdown == .normal { status.shutdown = .complete }
    cm_store32(bar + Register.status, status.rawValue)
    if !configuration.enabled {
      queues = []
    } else if queues.isEmpty {
      let sizes = AdminQueueAttributes(rawValue: cm_load32(bar + Register.adminQueueAttributes))
      queues = [
        NullQueue(
          identifier: 0, entries: UInt32(sizes.submissionSize) + 1,
          submission: cm_load64(bar + Register.adminSubmissionQueue),
          completion: cm_load64(bar + Register.adminCompletionQueue))
      ]
      for offset in stride(from: Register.doorbells, to: Self.barSize, by: 4) { cm_store32(bar + offset, 0) }
    }
  }

  // MARK: Admin commands

  private func carryOut(_ command: SubmissionEntry) -> UInt32 {
    switch AdminOpcode(rawValue: command.opcode) {
    case .identify: identify(command)
    case .setFeatures: return QueueCounts(submission: 8, completion: 8).rawValue
    case .createCompletionQueue: completionAddresses[command.queueIdentifier] = command.prp1
    case .createSubmissionQueue:
      queues.append(
        NullQueue(
          identifier: command.queueIdentifier, entries: UInt32(command.queueEntries),
          submission: command.prp1,
          completion: completionAddresses[command.completionQueueIdentifier] ?? 0))
    default: break
    }
    return 0
  }

  private func identify(_ command: SubmissionEntry) {
    let start = UnsafeMutableRawPointer(bitPattern: UInt(command.prp1))
    let answer = UnsafeMutableRawBufferPointer(start: start, count: IdentifyStructure.size)
    switch command.identifyStructure {
    case .controller:
      var identity = IdentifyController()
      identity.namespaceCount = 1
      identity.encode(into: answer)
    case .activeNamespaces:
      NamespaceList(command.namespace == 0 ? [1] : []).encode(into: answer)
    case .namespace:
      var identity = IdentifyNamespace()
      identity.size = 1 << 24
      identity.formats = [LBAFormat(exponent: 12)]
      identity.encode(into: answer)
    default: break
    }
  }
}
