import Control
import JSONValue
import Logging
import MountSession
import Reactor
import SystemFiles

/// Where the daemon's thread runs, and why.
struct Placement {
  /// The cost of wake-ups at the start; nil where it was not measured: with `follow=on` or `off`, and on one
  /// processor.
  let cost: WakeUpCost?
  /// Whether the thread follows its callers.
  let follows: Bool

  /// Decides whether to follow, and has the loop do so. Called by the loop's thread.
  init(_ following: MountOptions.Following, _ loop: EventLoop, _ helper: Helper, _ log: Logger) {
    let allowed = ProcessorSet.ofThisThread
    let canFollow = allowed.numbers.count > 1
    cost = following == .automatic && canFollow ? WakeUpCost.measure() : nil
    follows = canFollow && (following == .on || cost?.favorsFollowing ?? false)
    if let cost {
      log.debug(
        "waking a thread takes \(cost.same) ns on the same processor and \(cost.across) ns on another, and a caller \(cost.stays ? "stays" : "is woken on an idle processor"): the daemon \(follows ? "follows its callers" : "does not follow its callers")"
      )
    }
    guard follows else { return }
    let status = RequesterStatus(helper)
    loop.follower = Follower(
      allowed: allowed, locate: { status.processor(of: $0) }, move: { $0.useForThisThread() })
  }

  /// For `varve stat`.
  func json(_ loop: EventLoop) -> JSON {
    let processor = loop.follower?.processor
    return .object(
      [
        ("follows_callers", .bool(follows)), ("processor", processor.map { .integer($0) } ?? .null),
        ("wake_up_same_processor_ns", cost.map { .integer($0.same) } ?? .null),
        ("wake_up_other_processor_ns", cost.map { .integer($0.across) } ?? .null),
        ("caller_stays", cost.map { .bool($0.stays) } ?? .null),
      ] + Counts.members(of: loop.follower?.counters ?? Follower.Counters()))
  }
}
