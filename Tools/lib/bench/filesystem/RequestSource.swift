import CMachine
import FileProtocol
import Reactor

/// A channel of requests that the program makes itself.
final class RequestSource: RequestChannel {
  let descriptor = cm_eventfd()
  private let service: any FileService
  private let loop: EventLoop
  private var fill: (inout Request, Int) -> Void = { _, _ in }
  private var depth = 0
  private var count = 0
  private var begun = 0
  private var ended = 0
  private var error: Int32 = 0
  private var node: UInt64 = 0

  init(_ reactor: Reactor) {
    service = reactor.service
    loop = reactor.loop
    reactor.take(self)
  }

  /// Makes `count` requests, `depth` of them at a time, which `fill` fills in by their number, and waits for
  /// the replies.
  /// - Returns: the node in the last reply.
  /// - Throws: `RequestError` when one of them failed.
  @discardableResult
  func run(_ count: Int, depth: Int = 1, _ fill: @escaping (inout Request, Int) -> Void) throws -> UInt64 {
    self.fill = fill
    self.depth = depth
    self.count = count
    begun = 0
    ended = 0
    error = 0
    loop.run { ended < count }
    guard error == 0 else { throw RequestError(errno: error) }
    return node
  }

  func receive(into slot: Int) -> Receipt {
    guard begun < count, begun - ended < depth else { return .empty }
    var request = Request()
    request.firstFrame = service.requests[slot].firstFrame
    request.frameCount = service.requests[slot].frameCount
    fill(&request, begun)
    service.requests[slot] = request
    begun += 1
    return .request
  }

  func send(slot: Int) {
    ended += 1
    node = service.replies[slot].node
    if service.replies[slot].error != 0 { error = service.replies[slot].error }
  }
}

/// A request failed.
struct RequestError: Error {
  let errno: Int32
}
