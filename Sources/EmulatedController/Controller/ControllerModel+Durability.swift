import Glibc
import NVMeSpec

/// Making data durable, and work for the worker threads.
extension ControllerModel {
  /// The medium cannot be read; a retry may succeed, so Do Not Retry is clear.
  static let readError = Status(.unrecoveredReadError)

  /// The medium cannot be written; Do Not Retry is set for a full host disk, where a retry would fail too.
  static func writeError(_ code: Int32) -> Status {
    let isFull = [ENOSPC, EDQUOT, EFBIG].contains(code)
    return isFull ? Status(.capacityExceeded, doNotRetry: true) : Status(.writeFault)
  }

  /// Makes all written so far durable, in a worker thread where that may block.
  mutating func synchronize(_ media: [Medium], _ command: FetchedCommand) -> Outcome {
    if cannotSynchronize { return .refused(.writeFault) }
    if isInService, media.contains(where: \.mayBlock) { return hand(.synchronize(media), command) }
    return outcome(of: .synchronize(media), media.reduce(0) { $0 == 0 ? $1.synchronize() : $0 })
  }

  /// Makes all written to one medium so far durable; a medium in memory needs nothing.
  @inline(__always)
  mutating func synchronize(_ medium: Medium, _ command: FetchedCommand) -> Outcome {
    if case .image = medium { return synchronize([medium], command) }
    return .success
  }

  /// Zeroes extents of a medium, in a worker thread where that may block.
  mutating func zero(
    _ medium: Medium, _ extents: [(offset: Int, length: Int)], _ durable: Bool, _ command: FetchedCommand
  ) -> Outcome {
    if case .mapped(let mapped) = medium { return deallocate(mapped, extents, command) }
    let work = Work.zero(medium, extents, durable: durable)
    if isInService, medium.mayBlock { return hand(work, command) }
    return outcome(of: work, work.perform())
  }

  /// Zeroes extents of a mapped image; clearing pages and giving them back takes long, so a worker thread
  /// does it.
  private mutating func deallocate(
    _ medium: MappedMedium, _ extents: [(offset: Int, length: Int)], _ command: FetchedCommand
  ) -> Outcome {
    var rest = MappedMedium.Deallocation()
    for extent in extents { medium.deallocate(at: extent.offset, count: extent.length, &rest) }
    guard !rest.cleared.isEmpty || !rest.punched.isEmpty else { return .success }
    let work = Work.deallocate(medium, rest)
    return isInService ? hand(work, command) : outcome(of: work, work.perform())
  }

  /// Carries out a write to a mapped image in service. A worker thread copies a large one, as a device's DMA
  /// would; and pages are allocated ahead of a sequential writer.
  mutating func write(to medium: MappedMedium, _ range: Range<Int>, _ command: FetchedCommand) -> Outcome {
    if let ahead = medium.rangeToPopulate(afterWriting: range),
      !begin(.populate(medium, ahead), for: -1, wake: -1)
    {
      medium.populated(EAGAIN)
    }
    let pages = MappedMedium.pages(touching: range)
    let pageBits = MappedMedium.pageSize - 1
    guard range.count >= Self.largeWrite, (range.lowerBound | range.upperBound) & pageBits == 0,
      medium.hasAll(pages)
    else {
      let failure = medium.write(pieces.base, pieces.count, at: range.lowerBound)
      return failure == 0 ? .success : .done(Self.writeError(failure), 0)
    }
    return hand(
      .copy(medium, Array(UnsafeBufferPointer(start: pieces.base, count: pieces.count)), range), command)
  }

  /// From this size on, in bytes, a copy takes longer than handing it to a worker thread.
  private static let largeWrite = 128 << 10

  /// Hands work to a worker thread.
  mutating func hand(_ work: Work, _ command: FetchedCommand) -> Outcome {
    // Only the controller's own thread can reach remote memory.
    guard !iommu.remote.isNeeded else { return outcome(of: work, work.perform()) }
    let completion = queues.completion[Int(queues.submission[Int(command.queue)].completionQueue)]
    let signalled = completion.interrupts ? interrupts.descriptor(completion.vector) : -1
    let wake = workDescriptor >= 0 ? workDescriptor : signalled
    let slot = deferred.keep(command)
    guard !begin(work, for: slot, wake: wake) else { return .pending }
    _ = deferred.release(slot)
    return outcome(of: work, work.perform())
  }

  /// Queues work for a worker thread.
  /// - Returns: false when there are no worker threads.
  @discardableResult
  private mutating func begin(_ work: Work, for slot: Int32, wake: Int32) -> Bool {
    guard let pool = workers ?? WorkerPool(threads: 4, on: processors) else { return false }
    workers = pool
    pool.start(Job(slot: slot, work: work, wakeDescriptor: wake))
    return true
  }

  /// Completes the commands whose work the worker threads have finished.
  mutating func collectResults() {
    guard let workers, workers.hasResults else { return }
    complete(workers.takeResults())
  }

  /// Waits for all work to end and completes its commands.
  mutating func completeWork() {
    if let workers { complete(workers.waitForAll()) }
  }

  private mutating func complete(_ results: [JobResult]) {
    for result in results {
      let outcome = outcome(of: result.work, result.failure)
      guard result.slot >= 0 else { continue }
      let command = deferred.release(result.slot)
      if case .done(let status, let value) = outcome { finish(command, status, value) }
    }
  }

  /// Waits for all work to end and drops its commands without completing them.
  ///
  /// A reset and an unmapping have to wait: a worker thread would otherwise access memory that the host has
  /// taken back.
  mutating func finishWork() {
    guard let workers else { return }
    for result in workers.waitForAll() {
      _ = outcome(of: result.work, result.failure)
      if result.slot >= 0 { _ = deferred.release(result.slot) }
    }
  }

  /// Makes every namespace durable, here and now.
  mutating func synchronizeAll() {
    for identifier in namespaces.identifiers where namespaces[identifier]?.medium.synchronize() ?? 0 != 0 {
      cannotSynchronize = true
    }
  }

  /// Counts finished work, and returns the outcome of its command.
  private mutating func outcome(of work: Work, _ failure: Int32) -> Outcome {
    switch work {
    case .populate(let medium, _):
      medium.populated(failure)
      return .success
    case .copy(let medium, _, let range) where failure == 0:
      medium.markPresent(MappedMedium.pages(touching: range))
      return .success
    case .read where failure != 0: return .done(Self.readError, 0)
    case .synchronize where failure != 0:
      cannotSynchronize = true
      return .refused(.writeFault)
    case .zero where failure != 0, .deallocate where failure != 0, .copy:
      return .done(Self.writeError(failure), 0)
    case .read, .synchronize, .zero, .deallocate: return .success
    }
  }
}
