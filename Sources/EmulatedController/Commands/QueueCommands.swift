import NVMeSpec

/// Creation and deletion of I/O queues (Base 2.0, sections 5.3 to 5.6).
extension ControllerModel {
  mutating func createCompletionQueue(_ entry: SubmissionEntry) -> Outcome {
    let queue = Int(entry.queueIdentifier)
    guard mayComplete(queue), !queues.completion[queue].exists else {
      return .refused(.invalidQueueIdentifier)
    }
    if let refusal = refusal(ofQueue: entry, entrySize: CompletionEntry.size) { return refusal }
    guard !entry.interruptsEnabled || hasVector(UInt32(entry.interruptVector)) else {
      return .refused(.invalidInterruptVector)
    }
    queues.completion[queue] = CompletionQueue(
      address: entry.prp1, entries: UInt32(entry.queueEntries), vector: entry.interruptVector,
      interrupts: entry.interruptsEnabled)
    queues.recordCreation(of: queue)
    sharedDoorbells?.clear(queue, isCompletion: true)
    return .success
  }

  mutating func createSubmissionQueue(_ entry: SubmissionEntry) -> Outcome {
    let (queue, completion) = (Int(entry.queueIdentifier), entry.completionQueueIdentifier)
    guard queue >= 1, queue <= min(features.queueCounts.submission, queues.count - 1),
      !queues.submission[queue].exists, mayComplete(Int(completion))
    else { return .refused(.invalidQueueIdentifier) }
    guard queues.completion[Int(completion)].exists else { return .refused(.completionQueueInvalid) }
    if let refusal = refusal(ofQueue: entry, entrySize: SubmissionEntry.size) { return refusal }
    queues.submission[queue] = SubmissionQueue(
      address: entry.prp1, entries: UInt32(entry.queueEntries), completionQueue: completion)
    queues.recordCreation(of: queue)
    sharedDoorbells?.clear(queue, isCompletion: false)
    return .success
  }

  /// Whether Number of Queues allows an I/O completion queue with this identifier.
  private func mayComplete(_ queue: Int) -> Bool {
    queue >= 1 && queue <= min(features.queueCounts.completion, queues.count - 1)
  }

  /// Deletes a submission queue; its outstanding commands end before the deletion completes.
  mutating func deleteSubmissionQueue(_ entry: SubmissionEntry) -> Outcome {
    let queue = entry.queueIdentifier
    guard queue >= 1, Int(queue) < queues.count, queues.submission[Int(queue)].exists else {
      return .refused(.invalidQueueIdentifier)
    }
    completeWork()
    while let command = deferred.take(where: { $0.queue == queue }) {
      finish(command, Status(.submissionQueueDeleted))
    }
    queues.submission[Int(queue)] = SubmissionQueue()
    return .success
  }

  mutating func deleteCompletionQueue(_ entry: SubmissionEntry) -> Outcome {
    let queue = entry.queueIdentifier
    guard queue >= 1, Int(queue) < queues.count, queues.completion[Int(queue)].exists else {
      return .refused(.invalidQueueIdentifier)
    }
    guard !queues.isInUse(completionQueue: queue) else { return .refused(.invalidQueueDeletion) }
    queues.completion[Int(queue)] = CompletionQueue()
    queues.backlog[queue] = nil
    return .success
  }

  /// The outcome that refuses a queue's parameters; nil when they are valid.
  private mutating func refusal(ofQueue entry: SubmissionEntry, entrySize: Int) -> Outcome? {
    let size = entry.queueEntries
    guard size >= 2, size <= registers.capabilities.queueEntryLimit else {
      return .refused(.invalidQueueSize)
    }
    let isSubmission = entrySize == SubmissionEntry.size
    let exponent =
      isSubmission ? registers.configuration.submissionEntrySize : registers.configuration.completionEntrySize
    guard 1 << Int(exponent) == entrySize else { return .refused(.invalidQueueSize) }
    guard entry.physicallyContiguous else { return .refused(.invalidField) }
    guard entry.prp1 & ((1 << UInt64(pageShift)) - 1) == 0 else { return .refused(.invalidPRPOffset) }
    if memoryBuffer.overlaps(entry.prp1, size * entrySize) {
      // The buffer holds a submission queue as a whole, and no completion queue.
      let isSound =
        entrySize == SubmissionEntry.size && memoryBuffer.locate(entry.prp1, size * entrySize) != nil
      return isSound ? nil : .refused(.invalidUseOfMemoryBuffer)
    }
    guard iommu.locate(entry.prp1, size * entrySize, write: entrySize == CompletionEntry.size) != nil
    else {
      return .refused(.dataTransferError)
    }
    return nil
  }
}
