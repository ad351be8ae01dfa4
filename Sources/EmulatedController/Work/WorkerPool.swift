import CMachine
import Glibc
import SystemFiles
import Synchronization

/// A few threads for work that may block. The controller's own thread collects the results.
final class WorkerPool: Sendable {
  private struct State {
    var jobs: [Job] = []
    var results: [JobResult] = []
    var isStopping = false
  }

  private let state = Mutex(State())
  /// Whether there are results, readable without the lock.
  private let resultsReady = Atomic<Bool>(false)
  /// Jobs that are queued or running.
  private let unfinished = Atomic<Int>(0)
  /// A semaphore that counts the queued jobs.
  private let jobsWaiting: Int32
  /// An eventfd that is readable when results came since it was last read.
  private let resultsWaiting: Int32
  /// Where the threads may run; the thread that starts them may be bound to one processor.
  private let processors: ProcessorSet
  private let threads: Mutex<[pthread_t]> = Mutex([])

  /// Starts the threads; nil when the system refuses them.
  /// - Parameter processors: where they may run.
  init?(threads count: Int, on processors: ProcessorSet) {
    self.processors = processors
    jobsWaiting = cm_waitable_eventfd(1)
    resultsWaiting = cm_waitable_eventfd(0)
    guard jobsWaiting >= 0, resultsWaiting >= 0 else { return nil }
    for _ in 0..<count {
      var thread = pthread_t()
      // The pool's deinit joins the thread, so that an unretained reference is safe.
      guard pthread_create(&thread, nil, runWorker, Unmanaged.passUnretained(self).toOpaque()) == 0 else {
        break
      }
      threads.withLock { $0.append(thread) }
    }
    if threads.withLock({ $0.isEmpty }) { return nil }
  }

  deinit {
    let all = threads.withLock { $0 }
    state.withLock { $0.isStopping = true }
    for _ in all { cm_eventfd_signal(jobsWaiting) }
    for thread in all { pthread_join(thread, nil) }
    close(jobsWaiting)
    close(resultsWaiting)
  }

  /// Whether work is running or has results to collect.
  var isBusy: Bool { unfinished.load(ordering: .relaxed) > 0 || hasResults }

  /// Whether there are results.
  var hasResults: Bool { resultsReady.load(ordering: .acquiring) }

  /// Queues a job.
  func start(_ job: Job) {
    unfinished.add(1, ordering: .relaxed)
    state.withLock { $0.jobs.append(job) }
    cm_eventfd_signal(jobsWaiting)
  }

  /// The results since the last call.
  func takeResults() -> [JobResult] {
    state.withLock {
      resultsReady.store(false, ordering: .relaxed)
      let results = $0.results
      $0.results = []
      return results
    }
  }

  /// Blocks until every job is done.
  func waitForAll() -> [JobResult] {
    while unfinished.load(ordering: .acquiring) > 0 { cm_eventfd_wait(resultsWaiting) }
    return takeResults()
  }

  /// The loop of a worker thread.
  fileprivate func work() {
    processors.useForThisThread()
    while true {
      cm_eventfd_wait(jobsWaiting)
      let (job, isStopping) = state.withLock { state -> (Job?, Bool) in
        (state.jobs.isEmpty ? nil : state.jobs.removeFirst(), state.isStopping)
      }
      guard let job else {
        if isStopping { return }
        continue
      }
      finish(job, job.work.perform())
    }
  }

  private func finish(_ job: Job, _ failure: Int32) {
    state.withLock {
      $0.results.append(JobResult(slot: job.slot, work: job.work, failure: failure))
      resultsReady.store(true, ordering: .releasing)
    }
    unfinished.subtract(1, ordering: .releasing)
    cm_eventfd_signal(resultsWaiting)
    if job.wakeDescriptor >= 0 { cm_eventfd_signal(job.wakeDescriptor) }
  }
}

/// The body of a worker's thread.
private func runWorker(_ pool: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  guard let pool else { return nil }
  cm_drop_capabilities()
  Unmanaged<WorkerPool>.fromOpaque(pool).takeUnretainedValue().work()
  return nil
}
