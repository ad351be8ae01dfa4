import CMachine
import NVMeSpec

/// Doorbells, fetching of commands, posting of completions (Base 2.0, sections 3.3 and 3.4).
extension ControllerModel {
  /// A store to a doorbell.
  mutating func ring(_ offset: Int, _ value: UInt32) {
    guard isRunning else { return }
    let index = (offset - Register.doorbells) >> doorbellShift
    let queue = index >> 1
    guard offset == Register.doorbells + index << doorbellShift, queue < queues.count else {
      return report(.invalidDoorbellRegister)
    }
    // A shadow takes precedence: it is never older than its doorbell, whose store may have been delayed. The
    // shadows take one page.
    if shadows == nil || queue == 0 || index << doorbellShift + 4 > 1 << pageShift {
      if index & 1 == 0 { ring(submission: queue, value) } else { ring(completion: queue, value) }
    }
    if shadows != nil { followShadows() }
    if queues.interruptsDue { raiseInterrupts() }
  }

  @inline(__always)
  mutating func ring(submission queue: Int, _ tail: UInt32) {
    let entries = queues.submission[queue].entries
    guard entries != 0 else { return report(.invalidDoorbellRegister) }
    guard tail < entries else { return report(.invalidDoorbellValue) }
    queues.submission[queue].tail = tail
    if isObserved { readClock() }
    fetch(queue)
  }

  @inline(__always)
  mutating func ring(completion queue: Int, _ head: UInt32) {
    let completion = queues.completion + queue
    guard completion.pointee.exists else { return report(.invalidDoorbellRegister) }
    let (old, entries) = (completion.pointee.head, completion.pointee.entries)
    guard head < entries, (head >= old ? head - old : head + entries - old) <= completion.pointee.waiting
    else {
      return report(.invalidDoorbellValue)
    }
    completion.pointee.head = head
    if completion.pointee.isStalled { resume(queue) }
  }

  /// Posts the completions that waited for room in a completion queue, and resumes fetching.
  @inline(never)
  private mutating func resume(_ queue: Int) {
    var waiting = queues.backlog[UInt16(queue)] ?? []
    var posted = 0
    while posted < waiting.count, !queues.completion[queue].isFull {
      guard write(waiting[posted], queue) else { return }
      posted += 1
    }
    waiting.removeFirst(posted)
    queues.backlog[UInt16(queue)] = waiting.isEmpty ? nil : waiting
    guard waiting.isEmpty else { return }
    queues.completion[queue].isStalled = false
    for submission in 0..<queues.count
    where queues.submission[submission].exists
      && Int(queues.submission[submission].completionQueue) == queue
    {
      fetch(submission)
    }
  }

  /// Fetches and starts every command in a submission queue.
  @inline(__always)
  private mutating func fetch(_ queue: Int) {
    let submission = queues.submission + queue
    while submission.pointee.head != submission.pointee.tail, isRunning,
      !queues.completion[Int(submission.pointee.completionQueue)].isStalled
    {
      guard let memory = memory(ofSubmissionQueue: submission) else { return fail() }
      let head = submission.pointee.head
      if iommu.remote.isNeeded, !memoryBuffer.contains(submission.pointee.address) {
        let address = submission.pointee.address + UInt64(head) * UInt64(SubmissionEntry.size)
        guard iommu.fetch(address, SubmissionEntry.size) else { return fail() }
      }
      let entry = (memory + Int(head) * SubmissionEntry.size).loadUnaligned(as: SubmissionEntry.self)
      if memoryBuffer.isEnabled, memoryBuffer.contains(submission.pointee.address) {
        statistics.commandsFromMemoryBuffer += 1
      }
      submission.pointee.head = head + 1 == submission.pointee.entries ? 0 : head + 1
      if !isObserved {
        carryOut(FetchedCommand(entry: entry, queue: UInt16(truncatingIfNeeded: queue)))
      } else {
        admit(FetchedCommand(entry: entry, queue: UInt16(truncatingIfNeeded: queue)))
      }
    }
  }

  /// Passes a command to the recorder, the fault rules and the timing model, and starts or defers it.
  @inline(never)
  private mutating func admit(_ fetched: FetchedCommand) {
    var command = fetched
    var due: UInt64 = 0
    if faults.isArmed {
      command.fault = faults.action(for: command.entry, queue: command.queue)
      switch command.fault {
      case .fatal: return fail()
      case .remove: return remove()
      case .dropLink(let duration, let resets): return dropLink(for: duration, resets: resets)
      case .resetItself: return resetFunction()
      case .losePower: return losePower()
      case .replace(let serialNumber): return replace(serialNumber)
      case .delay(let time): due = now.saturatingAdd(time)
      default: break
      }
    }
    if deferred.contains(identifier: command.entry.commandIdentifier, queue: command.queue) {
      return finish(command, Status(.commandIdentifierConflict, doNotRetry: true))
    }
    if records { recordFetch(&command) }
    if timing.isActive, command.queue != 0 {
      due = max(due, timing.due(now: now, bytes: dataBytes(of: command.entry)))
    }
    if due > now {
      deferred.schedule(command, due: due)
    } else {
      carryOut(command)
    }
  }

  /// The data an I/O command moves, for the timing model.
  private func dataBytes(of entry: SubmissionEntry) -> Int {
    guard [.read, .write, .compare].contains(IOOpcode(rawValue: entry.opcode)),
      let namespace = namespaces[entry.namespace]
    else { return 0 }
    return Int(entry.blockCount) << namespace.shift
  }

  /// Posts the completion of a command.
  @inline(__always)
  mutating func post(queue: UInt16, identifier: UInt16, status: Status, result: UInt64) {
    let submission = queues.submission[Int(queue)]
    var entry = CompletionEntry()
    entry.result = UInt32(truncatingIfNeeded: result)
    entry.resultHigh = UInt32(truncatingIfNeeded: result >> 32)
    entry.submissionHead = UInt16(truncatingIfNeeded: submission.head)
    entry.submissionQueue = queue
    entry.commandIdentifier = identifier
    entry.status = status
    let completion = Int(submission.completionQueue)
    if queues.completion[completion].isStalled || queues.completion[completion].isFull {
      queues.completion[completion].isStalled = true
      if iommu.remote.isNeeded { iommu.remote.deliver() }
      queues.backlog[submission.completionQueue, default: []].append(entry)
      return
    }
    _ = write(entry, completion)
  }

  /// Writes an entry into a completion queue that has room, the phase tag last.
  /// - Returns: false when the queue's memory is gone, which is fatal.
  @inline(__always)
  private mutating func write(_ entry: CompletionEntry, _ queue: Int) -> Bool {
    let completion = queues.completion + queue
    guard let memory = memory(ofCompletionQueue: completion) else {
      fail()
      return false
    }
    let slot = memory + Int(completion.pointee.tail) * CompletionEntry.size
    var last = UInt64(entry.submissionHead) | UInt64(entry.submissionQueue) << 16
    last |= UInt64(entry.commandIdentifier) << 32 | UInt64(entry.statusAndPhase) << 48
    if completion.pointee.phase { last |= 1 << 48 }
    // The command's data is delivered before its completion.
    if iommu.remote.isNeeded { iommu.remote.deliver() }
    cm_store64(slot, UInt64(entry.result) | UInt64(entry.resultHigh) << 32)
    cm_release_fence()
    cm_store64(slot + 8, last)
    if iommu.remote.isNeeded {
      iommu.deliver(
        completion.pointee.address + UInt64(completion.pointee.tail) * UInt64(CompletionEntry.size),
        CompletionEntry.size)
    }
    completion.pointee.advance()
    if completion.pointee.interrupts {
      completion.pointee.needsInterrupt = true
      queues.markInterruptDue(queue)
    }
    return true
  }

  /// Raises one interrupt for each queue that was posted to.
  mutating func raiseInterrupts() {
    guard queues.interruptsDue else { return }
    for queue in queues.takeInterruptRange() where queues.completion[queue].needsInterrupt {
      queues.completion[queue].needsInterrupt = false
      interrupts.raise(queues.completion[queue].vector)
    }
  }

  @inline(__always)
  private mutating func memory(
    ofSubmissionQueue queue: UnsafeMutablePointer<SubmissionQueue>
  ) -> UnsafeMutableRawPointer? {
    if queue.pointee.generation == iommu.generation { return queue.pointee.memory }
    let (address, size) = (queue.pointee.address, Int(queue.pointee.entries) * SubmissionEntry.size)
    queue.pointee.memory = memoryBuffer.locate(address, size) ?? iommu.locate(address, size, write: false)
    queue.pointee.generation = iommu.generation
    return queue.pointee.memory
  }

  @inline(__always)
  private mutating func memory(
    ofCompletionQueue queue: UnsafeMutablePointer<CompletionQueue>
  ) -> UnsafeMutableRawPointer? {
    if queue.pointee.generation == iommu.generation { return queue.pointee.memory }
    queue.pointee.memory = iommu.locate(
      queue.pointee.address, Int(queue.pointee.entries) * CompletionEntry.size, write: true)
    queue.pointee.generation = iommu.generation
    return queue.pointee.memory
  }
}
