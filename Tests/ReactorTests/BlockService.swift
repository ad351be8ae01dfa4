import BlockProtocol
import FileProtocol
import CMachine
import Glibc
import Reactor

/// A minimal service over a device: a request's `node` is a block, written or read from its slot's frames;
/// fsync is a flush. Each request needs `rounds` commands, one after the other.
final class BlockService: FileService {
  let requests: UnsafeMutablePointer<Request>
  let replies: UnsafeMutablePointer<Reply>
  let effects = Effects()
  var now = Instant(monotonic: 0, realtime: 0)
  var rounds = 1
  var isReady = true
  var failure: String?
  private(set) var isStopped = false
  private(set) var advances = 0
  /// The next results of `advance`, from the last on; then never.
  var deadlines: [UInt64] = []

  private let count: Int
  private let frames: UnsafeMutablePointer<UInt32>
  private var left: [Int]
  private var stopping = false
  private var underWay = 0

  init(slots: Int) {
    count = slots
    requests = .allocate(capacity: slots)
    requests.initialize(repeating: Request(), count: slots)
    replies = .allocate(capacity: slots)
    replies.initialize(repeating: Reply(), count: slots)
    frames = .allocate(capacity: slots)
    frames.initialize(repeating: 0, count: slots)
    left = Array(repeating: 0, count: slots)
  }

  deinit {
    requests.deallocate()
    replies.deinitialize(count: count)
    replies.deallocate()
    frames.deallocate()
  }

  func begin(slot: Int) {
    precondition(now.monotonic > 0, "the reactor sets the time first")
    underWay += 1
    replies[slot] = Reply()
    frames[slot] = requests[slot].firstFrame
    left[slot] = rounds
    if rounds == 0 { finish(slot) } else { command(slot) }
  }

  func forget(node: UInt64, count: UInt64) {}

  func complete(tag: UInt64, errno: Int32) {
    let slot = Int(tag)
    if errno != 0 { replies[slot].error = EIO }
    left[slot] -= 1
    if left[slot] == 0 || errno != 0 { finish(slot) } else { command(slot) }
  }

  func advance() -> UInt64 {
    advances += 1
    if advances > 2 { isReady = true }
    isStopped = stopping && underWay == 0
    return deadlines.popLast() ?? .max
  }

  func stop() {
    stopping = true
  }

  private func command(_ slot: Int) {
    let request = requests[slot]
    let operation: BlockCommand.Operation =
      switch request.operation {
      case .write: .write
      case .fsync: .flush
      default: .read
      }
    effects.submit(
      BlockCommand(
        operation, block: request.node, count: operation == .flush ? 0 : 1, frames: frames + slot,
        tag: UInt64(slot)))
  }

  private func finish(_ slot: Int) {
    underWay -= 1
    effects.finished.append(UInt32(slot))
  }
}

extension Reactor {
  /// Ends the reactor once `service` has had `count` steps of background work.
  func watchForIdleness(of service: BlockService, after count: Int) {
    let timer = cm_eventfd()
    var one: UInt64 = 1
    _ = write(timer, &one, 8)
    loop.watch(timer) { [unowned self] in if service.advances >= count { stop() } }
  }
}
