import NVMeSpec
import PCI

/// I/O queue pairs: creating, polling, deleting.
extension Controller {
  /// Makes an I/O queue pair. Blocks until the controller has created it.
  /// - Parameter protection: that of the namespace it is for, where that one has metadata.
  /// - Throws: when no more are granted, or the controller refuses.
  public func makeQueuePair(
    protection: NamespaceProtection? = nil
  ) throws(ControllerError) -> QueuePair {
    guard state == .ready else { throw failure ?? error(.notUsable) }
    guard canMakeQueuePair else {
      throw error(.unsupported(queueShortage))
    }
    let memory: QueueMemory
    do throws(ControllerError) {
      memory = try createQueues(protection)
    } catch {
      // A controller that refuses a queue in its own memory may accept one in the host's.
      guard case .command = error.reason, state == .ready, let memoryBuffer, !memoryBuffer.isRefused else {
        throw error
      }
      refuseMemoryBuffer()
      memory = try createQueues(protection)
    }
    queues.append(memory)
    var queue = QueuePair(
      memory: memory, registers: registers, doorbellStride: registerCapabilities.doorbellStride,
      policy: retryPolicy, time: options.time, dataPointers: dataPointers, protection: protection)
    queue.generation = generation
    queue.cacheLosses = cacheLosses
    queue.useShadows(shadowDoorbells)
    return queue
  }

  private var queueShortage: String {
    if let queueRefusal { return "the controller grants no I/O queues: \(queueRefusal)" }
    let isOurs = queuePairLimit >= options.queuePairs
    return "the controller grants no more than \(queuePairLimit) I/O queue pairs"
      + (isOurs ? ", as many as were asked for" : "")
  }

  /// Makes the memory of a queue pair, and both queues at the controller.
  private func createQueues(_ protection: NamespaceProtection?) throws(ControllerError) -> QueueMemory {
    let identifier = freeIdentifier()
    let memory: QueueMemory
    let buffered = memoryBuffer?.allocate(QueueMemory.submissionBytes(entries: queueEntries))
    do throws(FunctionError) {
      memory = try QueueMemory(
        identifier: identifier, entries: queueEntries, vector: vector(for: identifier),
        listPages: QueuePair.listPages(frames: Int(capabilities.transferFrames), dataPointers),
        metadataPages: protection == nil ? 0 : CommandProtection.limit / DMAArena.frameSize,
        buffered: buffered, function: function)
    } catch {
      if let buffered { memoryBuffer?.free(buffered) }
      throw self.error(.function(error))
    }
    shadowDoorbells?.clear(queue: identifier, stride: registerCapabilities.doorbellStride)
    do throws(ControllerError) {
      try create(memory)
    } catch {
      release(memory)
      throw error
    }
    return memory
  }

  /// Creates both queues at the controller, or neither.
  private func create(_ memory: QueueMemory) throws(ControllerError) {
    _ = try execute(memory.createCompletionQueue)
    do throws(ControllerError) {
      _ = try execute(memory.createSubmissionQueue(quirks))
    } catch {
      // If the deletion fails, only a reset takes the memory from the controller.
      let isGone = (try? execute(SubmissionEntry(deleteCompletionQueue: memory.identifier))) != nil
      if !isGone { reset() }
      waitForReset()
      throw error
    }
  }

  private var dataPointers: DataPointers { capabilities.takesSGLs ? options.dataPointers : .prp }

  private var queueEntries: Int {
    let most = min(registerCapabilities.queueEntryLimit, TrackerPool.maximumCount + 1)
    let useful = identity.maximumCommands == 0 ? most : min(most, Int(identity.maximumCommands) + 1)
    let entries = max(min(options.queueEntries, useful), 2)
    return 1 << (Int.bitWidth - 1 - entries.leadingZeroBitCount)
  }

  private var retryPolicy: RetryPolicy {
    var policy = options.retry
    policy.delayTimes = understandsDelays ? identity.retryDelays : (0, 0, 0)
    return policy
  }

  private func freeIdentifier() -> UInt16 {
    var identifier: UInt16 = 1
    while queues.contains(where: { $0.identifier == identifier }) { identifier += 1 }
    return identifier
  }

  /// Vector 0 is the admin queue's; I/O queues share the others, or vector 0 where it is the only one.
  private func vector(for queue: UInt16) -> UInt16? {
    switch interrupts.count {
    case 0: nil
    case 1: 0
    default: 1 + (queue - 1) % UInt16(interrupts.count - 1)
    }
  }

  /// The eventfd that fires when a queue pair has completions; nil where the function has no interrupts.
  public func interruptDescriptor(of queue: borrowing QueuePair) -> Int32? {
    guard let vector = queue.memory.vector, Int(vector) < interrupts.count else { return nil }
    return interrupts[Int(vector)]
  }

  /// Whether a queue pair's interrupt is that of another I/O queue pair too.
  public func sharesInterrupt(of queue: borrowing QueuePair) -> Bool {
    guard queues.count > 1 else { return false }
    let vector = queue.memory.vector
    return queues.count { $0.vector == vector } > 1
  }

  /// The eventfd that fires when an asynchronous event, or another admin command, has completed; nil where
  /// the function has no interrupts. `poll` handles it.
  public var eventDescriptor: Int32? { interrupts.first }

  /// Whether an asynchronous event, or another admin command, has completed and waits for `poll`.
  public var hasEvent: Bool { state == .ready && admin.hasCompletion }

  /// Deletes an I/O queue pair: the controller deletes the submission queue first, then the completion queue,
  /// and only then is their memory freed. Blocks meanwhile.
  public func delete(_ queue: consuming QueuePair) {
    let memory = queue.memory
    guard let index = queues.firstIndex(where: { $0 === memory }) else { return }
    queues.remove(at: index)
    if state == .ready, !deleteAtController(memory) { reset() }
    waitForReset()
    release(memory)
  }

  /// Takes a queue pair's memory from the controller, which no longer uses it.
  private func release(_ memory: QueueMemory) {
    function.unmap(memory.arena)
    if let buffered = memory.buffered { memoryBuffer?.free(buffered) }
  }

  func deleteAtController(_ memory: QueueMemory) -> Bool {
    do throws(ControllerError) {
      _ = try execute(SubmissionEntry(deleteSubmissionQueue: memory.identifier))
      _ = try execute(SubmissionEntry(deleteCompletionQueue: memory.identifier))
      return true
    } catch {
      return false
    }
  }

  /// How long polls may look for I/O completions alone before the admin queue is checked (ns).
  private static let fastPathInterval: UInt64 = .millisecond

  /// Polls a queue pair where there is, or may be, more to do than to collect successful completions.
  @usableFromInline @inline(never)
  func pollSlow(_ queue: inout QueuePair, limit: Int) {
    queue.readClock()
    if needsService { serviceDue = function.service(now: queue.now) }
    if state != .ready || queue.generation != generation || !queue.isOnline, !bringOnline(&queue) { return }
    if queue.isTraced { queue.reapTraced(limit: limit) } else { queue.reap(limit: limit) }
    if admin.hasCompletion || adminDue <= queue.now { pollAdmin() }
    if queue.nextDue <= queue.now { queue.resubmitDue() }
    if queue.hasUnrung { ringSlow(&queue) }
    if queue.nextWatch <= queue.now { watch(&queue) }
    queue.fastPathEnd = queue.clock.ticks(
      at: min(queue.nextDue, queue.nextWatch, queue.now &+ Self.fastPathInterval))
  }

  /// Advances a reset, and brings a queue pair online with the controller's next generation.
  /// - Returns: whether commands are taken.
  @inline(never)
  private func bringOnline(_ queue: inout QueuePair) -> Bool {
    if state != .ready { recover() }
    if queue.generation != generation { resume(&queue) }
    guard state == .ready else { return false }
    if !queue.isOnline {
      if queue.cacheLosses != cacheLosses {
        queue.cacheLosses = cacheLosses
        queue.recall()
      }
      queue.policy = retryPolicy
      queue.useShadows(shadowDoorbells)
      queue.isOnline = true
    }
    return true
  }

  /// Rings a queue pair's doorbell, where that takes more than a store or is not allowed.
  @usableFromInline @inline(never)
  func ringSlow(_ queue: inout QueuePair) {
    guard state == .ready, queue.generation == generation else { return }
    if queue.isTraced { queue.ringTraced() } else { queue.ring() }
  }

  /// Lets an emulated function run: the finished work of its threads becomes completions. To be called after
  /// the interrupt's eventfd was read, before sleeping, as the worker threads signal that eventfd.
  public func serviceFunction() {
    if needsService { serviceDue = function.service(now: now) }
  }

  /// Begins a use of a namespace: if another one is found in its place after a reset, the controller fails.
  public func beginUse(of namespace: Namespace) { namespacesInUse.append(namespace) }

  /// Ends one use of a namespace.
  public func endUse(of namespace: Namespace) {
    if let index = namespacesInUse.firstIndex(of: namespace) { namespacesInUse.remove(at: index) }
  }

  /// Whether a completion waits for `poll`. Those of a controller that is being reset, or is offline, are not
  /// collected any more.
  public func canCollect(from queue: borrowing QueuePair) -> Bool { state == .ready && queue.hasCompletion }

  /// When `poll` is to be called although no interrupt may come (ns, monotonic); `UInt64.max` for never. Lets
  /// an emulated function carry out what was submitted since the last poll.
  public func nextDeadline(of queue: borrowing QueuePair) -> UInt64 {
    serviceFunction()
    if queue.generation != generation || canCollect(from: queue) { return 0 }
    switch state {
    case .ready:
      return min(min(serviceDue, adminDue), min(queue.nextDue, queue.inFlight > 0 ? queue.nextWatch : .max))
    case .failed, .closed: return .max
    default: return min(serviceDue, bringUp.nextStep)
    }
  }
}
