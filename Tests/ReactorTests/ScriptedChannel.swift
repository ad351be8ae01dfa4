import CMachine
import FileProtocol
import Glibc
import Reactor

/// A channel that delivers requests from a list, `window` of them at most unanswered, and records each reply.
final class ScriptedChannel: RequestChannel {
  let descriptor = cm_eventfd()
  private let service: any FileService
  private var waiting: [Request]
  private let window: Int
  private var unanswered: Set<Int> = []
  /// The request in each used slot, by its place in the script.
  private var numbers: [Int: Int] = [:]
  private var next = 0
  /// Places in the script in the order in which they were answered, with the errors.
  private(set) var answered: [(request: Int, error: Int32)] = []
  private(set) var largestUnanswered = 0
  /// Whether the channel ends with the last request instead of the last reply.
  var endsEarly = false

  init(_ requests: [Request], service: any FileService, window: Int = .max) {
    self.service = service
    self.window = window
    waiting = requests
  }

  deinit { close(descriptor) }

  func receive(into slot: Int) -> Receipt {
    if next == waiting.count { return unanswered.isEmpty || endsEarly ? .ended : .empty }
    guard unanswered.count < window else { return .empty }
    precondition(unanswered.insert(slot).inserted, "slot \(slot) is in use")
    var request = waiting[next]
    let own = service.requests[slot]
    request.firstFrame = own.firstFrame
    request.frameCount = own.frameCount
    service.requests[slot] = request
    numbers[slot] = next
    next += 1
    largestUnanswered = max(largestUnanswered, unanswered.count)
    return .request
  }

  func send(slot: Int) {
    precondition(unanswered.remove(slot) != nil, "slot \(slot) has nothing to answer")
    if let number = numbers.removeValue(forKey: slot) {
      answered.append((number, service.replies[slot].error))
    }
    // Like the kernel: a further message wakes the reader.
    var one: UInt64 = 1
    _ = write(descriptor, &one, 8)
  }
}
