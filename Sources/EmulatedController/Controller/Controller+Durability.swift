import Glibc
import NVMeSpec

/// Making data durable, and work that is left to threads.
extension Controller {
  /// A medium that cannot be read: perhaps it can the next time.
  static let readError = Status(.unrecoveredReadError)

  /// A medium that cannot be written; a host disk that is full will be full the next time too.
  static func writeError(_ code: Int32) -> Status {
    Status(.writeFault, doNotRetry: code == ENOSPC || code == EDQUOT || code == EFBIG)
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
    let work = Work.zero(medium, extents, durable: durable)
    if isInService, medium.mayBlock { return hand(work, command) }
    return outcome(of: work, work.perform())
  }

  /// Leaves work to a thread.
  mutating func hand(_ work: Work, _ command: FetchedCommand) -> Outcome {
    guard let pool = workers ?? WorkerPool(threads: 4) else {
      return outcome(of: work, work.perform())
    }
    workers = pool
    let completion = queues.completion[Int(queues.submission[Int(command.queue)].completionQueue)]
    let wake = completion.interrupts ? interrupts.descriptor(completion.vector) : -1
    pool.start(Job(slot: deferred.keep(command), work: work, wakeDescriptor: wake))
    return .pending
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
      let command = deferred.release(result.slot)
      if case .done(let status, let value) = outcome(of: result.work, result.failure) {
        finish(command, status, value)
      }
    }
  }

  /// Waits for all work to end; what it was for never completes.
  ///
  /// A reset and an unmapping have to wait: work that goes on would touch memory that is no longer the device's.
  mutating func finishWork() {
    guard let workers else { return }
    for result in workers.waitForAll() {
      _ = outcome(of: result.work, result.failure)
      _ = deferred.release(result.slot)
    }
  }

  /// Makes every namespace durable, here and now.
  mutating func synchronizeAll() {
    for identifier in namespaces.identifiers where namespaces[identifier]?.medium.synchronize() ?? 0 != 0 {
      cannotSynchronize = true
    }
  }

  private mutating func outcome(of work: Work, _ failure: Int32) -> Outcome {
    guard failure != 0 else { return .success }
    switch work {
    case .read: return .done(Self.readError, 0)
    case .synchronize:
      cannotSynchronize = true
      return .refused(.writeFault)
    case .zero: return .done(Self.writeError(failure), 0)
    }
  }
}
