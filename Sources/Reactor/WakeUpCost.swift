import CMachine
import Glibc
import SystemFiles

/// How long it takes to wake a thread that sleeps: on the processor of the one that wakes it, and on another.
public struct WakeUpCost: Sendable, Equatable {
  /// In nanoseconds.
  public let same: UInt64
  public let across: UInt64
  /// Whether a thread that may run anywhere stays on the processor of the one that wakes it, instead of being woken on
  /// an idle one.
  public let stays: Bool

  /// From this factor and this difference (ns) on a wake-up across processors is dear.
  private static let dearFactor: UInt64 = 3
  private static let dearDifference: UInt64 = 5_000

  public init(same: UInt64, across: UInt64, stays: Bool) {
    self.same = same
    self.across = across
    self.stays = stays
  }

  /// Whether it pays to follow a caller.
  public var favorsFollowing: Bool {
    stays && across / Self.dearFactor >= same && across >= same && across - same >= Self.dearDifference
  }

  /// How many wake-ups are measured together, and how often; the fastest counts.
  private static let wakeUps = 32
  private static let rounds = 4

  /// Measures it on two of the processors that the calling thread may use; takes a few milliseconds.
  /// - Returns: nil where there are not two, or the system refuses a thread or a descriptor.
  public static func measure() -> WakeUpCost? {
    let allowed = ProcessorSet.ofThisThread
    let numbers = allowed.numbers.prefix(2)
    guard numbers.count == 2, let first = numbers.first, let second = numbers.last else { return nil }
    defer { allowed.useForThisThread() }
    guard let free = roundTrip(with: first, from: allowed),
      let same = roundTrip(with: first, from: ProcessorSet([first])),
      let across = roundTrip(with: second, from: ProcessorSet([first]))
    else { return nil }
    return WakeUpCost(same: same.time / 2, across: across.time / 2, stays: free.stayed)
  }

  /// What the other thread needs.
  private final class Partner: Sendable {
    let requests = cm_waitable_eventfd(0)
    let answers = cm_waitable_eventfd(0)
    let processor: Int

    init(_ processor: Int) { self.processor = processor }

    deinit {
      close(requests)
      close(answers)
    }

    func answer() {
      ProcessorSet([processor]).useForThisThread()
      for _ in 0...WakeUpCost.wakeUps * WakeUpCost.rounds {
        cm_eventfd_wait(requests)
        cm_eventfd_signal(answers)
      }
    }
  }

  /// Measures requests to a thread on a processor, and its answers.
  /// - Parameter places: where the calling thread may run; it is on that processor at first, if it may.
  /// - Returns: the time of both in nanoseconds, and whether the calling thread was on that processor after three in four.
  private static func roundTrip(with processor: Int, from places: ProcessorSet) -> (
    time: UInt64, stayed: Bool
  )? {
    if places.contains(processor) { ProcessorSet([processor]).useForThisThread() }
    guard places.useForThisThread() else { return nil }
    let partner = Partner(processor)
    guard partner.requests >= 0, partner.answers >= 0 else { return nil }
    var thread = pthread_t()
    let argument = Unmanaged.passUnretained(partner).toOpaque()
    let code = pthread_create(
      &thread, nil,
      { argument in
        if let argument { Unmanaged<Partner>.fromOpaque(argument).takeUnretainedValue().answer() }
        return nil
      }, argument)
    guard code == 0 else { return nil }
    defer { pthread_join(thread, nil) }
    // Until the thread runs.
    cm_eventfd_signal(partner.requests)
    cm_eventfd_wait(partner.answers)
    var least = UInt64.max
    var stays = 0
    for _ in 0..<rounds {
      let start = cm_monotonic_ns()
      for _ in 0..<wakeUps {
        cm_eventfd_signal(partner.requests)
        cm_eventfd_wait(partner.answers)
        if Int(sched_getcpu()) == processor { stays += 1 }
      }
      least = min(least, (cm_monotonic_ns() &- start) / UInt64(wakeUps))
    }
    return (least, stays > wakeUps * rounds * 3 / 4)
  }
}
