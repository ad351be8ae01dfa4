import Glibc
import NVMeSpec

/// Making data durable, and work that is left to threads.
extension ControllerModel {
  /// A medium that cannot be read: perhaps it can the next time.
  static let readError = Status(.unrecoveredReadError)

  /// A medium that cannot be written; a host disk that is full will be full the next time too.
  static func writeError(_ code: Int32) -> Status {
    let isFull = [ENOSPC, EDQUOT, EFBIG].contains(code)
    return isFull ? Status(.capacityExceeded, doNotRetry: true) : Status(.writeFault)
  }

  /// Makes all written so far durable, in a thread where that may block.
  mutating func synchronize(_ media: [Medium], _ command: FetchedCommand) -> Outcome {
    if cannotSynchronize { return .refused(.writeFault) }
    if isInService, media.contains(where: \.mayBlock) { return hand(.synchronize(media), command) }
    return outcome(of: .synchronize(media), media.reduce(0) { $0 == 0 ? $1.synchronize() : $0 })
  }

  /// Makes all written to one medium so far durable; nothing to do where that lies in memory.
  @inline(__always)
  mutating func synchronize(_ medium: Medium, _ command: FetchedCommand) -> Outcome {
    if case .image = medium { return synchronize([medium], command) }
    return .success
  }

  /// Zeroes extents of a medium, in a thread where that may block.
  mutating func zero(
    _ medium: Medium, _ extents: [(offset: Int, length: Int)], _ durable: Bool, _ command: FetchedCommand
  ) -> Outcome {
    if case .mapped(let mapped) = medium { return deallocate(mapped, extents, command) }
    let work = Work.zero(medium, extents, durable: durable)
    if isInService, medium.mayBlock { return hand(work, command) }
    return outcome(of: work, work.perform())
  }

  /// Zeroes extents of a mapped image; clearing pages and giving them back takes long and is left to a
  /// thread.
  private mutating func deallocate(
    _ medium: MappedMedium, _ extents: [(offset: Int, length: Int)], _ command: FetchedCommand
  ) -> Outcome {
    var rest = MappedMedium.Deallocation()
    for extent in extents { medium.deallocate(at: extent.offset, count: extent.length, &rest) }
    guard !rest.cleared.isEmpty || !rest.punched.isEmpty else { return .success }
    let work = Work.deallocate(medium, rest)
    return isInService ? hand(work, command) : outcome(of: work, work.perform())
  }

  /// Carries out a write to a mapped image in service. A large one is copied by a thread, as a device would
  /// move the data by itself; and pages are taken ahead of a writer that goes on and on.
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

  /// A copy of so many bytes takes longer than handing it over.
  private static let largeWrite = 128 << 10

  /// Leaves work to a thread.
  mutating func hand(_ work: Work, _ command: FetchedCommand) -> Outcome {
    // Remote memory is fetched and delivered by the thread that has the host's ear.
    guard !iommu.remote.isNeeded else { return outcome(of: work, work.perform()) }
    let completion = queues.completion[Int(queues.submission[Int(command.queue)].completionQueue)]
    let signalled = completion.interrupts ? interrupts.descriptor(completion.vector) : -1
    let wake = workDescriptor >= 0 ? workDescriptor : signalled
    let slot = deferred.keep(command)
    guard !begin(work, for: slot, wake: wake) else { return .pending }
    _ = deferred.release(slot)
    return outcome(of: work, work.perform())
  }

  /// Has a thread do work.
  /// - Returns: false when there is no thread.
  @discardableResult
  private mutating func begin(_ work: Work, for slot: Int32, wake: Int32) -> Bool {
    guard let pool = workers ?? WorkerPool(threads: 4) else { return false }
    workers = pool
    pool.start(Job(slot: slot, work: work, wakeDescriptor: wake))
    return true
  }

  /// Completes the commands that threads are done with.
  mutating func collectResults() {
    guard let workers, workers.hasResults else { return }
    complete(workers.takeResults())
  }

  /// Waits for all work to end and completes what it was for.
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

  /// Waits for all work to end; what it was for never completes.
  ///
  /// A reset and an unmapping have to wait: work that goes on would touch memory that is no longer the
  /// device's.
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

  /// Takes down what came of work, and says how its command ends.
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
