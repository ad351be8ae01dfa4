import Glibc
import Reactor

/// Cached pages of a file that the kernel has to invalidate.
struct ForgottenPages: BitwiseCopyable {
  /// The length that stands for the whole inode, which the kernel drops where it is not in use.
  static let inode: Int64 = -1

  var node: UInt64
  /// In bytes; a length of 0 means up to the file's end.
  var offset: Int64
  var length: Int64
}

/// Has the kernel invalidate cached pages, without ever blocking.
///
/// The kernel waits, uninterruptibly, for pages that are being read or written, which may be until the daemon
/// has answered. So another process makes the call, and reports back through a pipe. It must not be a thread
/// of the daemon: after a kill the daemon could not end while that thread waits for a page whose read the
/// daemon had not answered. `ForgettingProcess` describes what the process does then.
public final class PageForgetter {
  /// The argument that starts mount.varve as that process.
  public static let flag = "--forget-pages"

  /// How many orders may be outstanding. Beyond it replies are sent at once, before the pages are
  /// invalidated: the kernel may be waiting for a page whose read it holds back because of too many
  /// unanswered requests.
  static let limit = 256

  /// The message in the first pipe; the token alone comes back through the second.
  struct Order: BitwiseCopyable {
    var token: UInt64
    var pages: ForgottenPages
  }

  private let session: Int32
  private let helper: Helper
  private var pipes = ProcessPipes()
  private var nextToken: UInt64 = 0
  /// Outstanding orders.
  private var waiting: [UInt64: (pages: ForgottenPages, whenDone: (Bool) -> Void)] = [:]
  /// How many of them drop an inode. No reply waits for these.
  private var drops = 0
  /// Tokens that the pipe had no room for.
  private var backlog: [UInt64] = []
  /// Whether any order was carried out since the process was started.
  private var hasProved = false

  /// - Parameter session: the descriptor of the kernel's requests.
  init(_ session: Int32, _ helper: Helper) {
    self.session = session
    self.helper = helper
  }

  /// Invalidates pages.
  /// - Parameters:
  ///   - mayBeLate: whether `whenDone` is called at once where `limit` orders are outstanding. Not for requests
  ///     that are no background requests of the kernel: they hold nothing back.
  ///   - whenDone: called with true when the kernel has invalidated them, or with false when there is no
  ///     process for it.
  func forget(_ pages: ForgottenPages, mayBeLate: Bool, _ whenDone: @escaping (Bool) -> Void) {
    guard pipes.areOpen || start() else { return whenDone(false) }
    nextToken += 1
    let isEarly = mayBeLate && waiting.count - drops >= Self.limit
    waiting[nextToken] = (pages, isEarly ? { _ in } : whenDone)
    if pages.length == ForgottenPages.inode { drops += 1 }
    if isEarly { whenDone(true) }
    backlog.append(nextToken)
    sendBacklog()
  }

  /// Has the kernel drop inodes that are not in use.
  /// - Parameter whenDone: called with true when it has, or with false when there is no process for it.
  func drop(_ nodes: Slice<UnsafeMutableBufferPointer<UInt64>>, _ whenDone: @escaping (Bool) -> Void) {
    for (index, node) in nodes.enumerated() {
      let isLast = index == nodes.count - 1
      let inode = ForgottenPages(node: node, offset: 0, length: ForgottenPages.inode)
      forget(inode, mayBeLate: false, isLast ? whenDone : { _ in })
    }
  }

  /// Ends the process; its outstanding orders are never reported as done.
  func close() {
    waiting.removeAll()
    drops = 0
    pipes.close(helper.loop)
  }

  private func sendBacklog() {
    var sent = 0
    for token in backlog {
      if let pages = waiting[token]?.pages {
        var order = Order(token: token, pages: pages)
        guard write(pipes.orders, &order, MemoryLayout<Order>.size) == MemoryLayout<Order>.size else { break }
      }
      sent += 1
    }
    backlog.removeFirst(sent)
  }

  private func receive() {
    var done = [UInt64](repeating: 0, count: 64)
    let count = read(pipes.answers, &done, done.count * MemoryLayout<UInt64>.size)
    if count < 0, errno == EAGAIN || errno == EINTR { return }
    guard count > 0 else { return restart() }
    hasProved = true
    for token in done[..<(count / MemoryLayout<UInt64>.size)] {
      guard let order = waiting.removeValue(forKey: token) else { continue }
      if order.pages.length == ForgottenPages.inode { drops -= 1 }
      order.whenDone(true)
    }
    sendBacklog()
  }

  /// Handles the end of the process. Another is started, provided that this one has carried out an order.
  private func restart() {
    pipes.close(helper.loop)
    backlog = waiting.keys.sorted()
    if hasProved, start() { return sendBacklog() }
    let lost = waiting
    waiting.removeAll()
    drops = 0
    backlog.removeAll()
    for (_, order) in lost.sorted(by: { $0.key < $1.key }) { order.whenDone(false) }
  }

  // MARK: The process

  private func start() -> Bool {
    hasProved = false
    return pipes.open(helper.loop) { [helper, session] orders, tokens in
      helper.startForgetting(orders: orders, tokens: tokens, session: session)
    } _: { [unowned self] in
      receive()
    }
  }
}
