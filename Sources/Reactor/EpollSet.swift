import CMachine
import Glibc

/// The epoll set that the event loop sleeps on.
struct EpollSet: ~Copyable {
  private let epoll: Int32
  private let events: UnsafeMutablePointer<epoll_event>
  /// How often each descriptor was added.
  private var uses: [Int32: Int] = [:]
  private static let limit = 8

  /// - Throws: `ReactorError` when the process may open no more descriptors.
  init() throws(ReactorError) {
    epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
    guard epoll >= 0 else {
      throw ReactorError(
        "no epoll descriptor", remedy: "raise the limit of open files (ulimit -n)", errno: errno)
    }
    events = .allocate(capacity: Self.limit)
  }

  deinit {
    events.deallocate()
    close(epoll)
  }

  /// Wakes whenever `descriptor` becomes readable (edge-triggered); its owner reads until it is empty before
  /// sleeping.
  mutating func addEdge(_ descriptor: Int32) { add(descriptor, EPOLLIN.rawValue | EPOLLET.rawValue) }

  /// Wakes as long as `descriptor` is readable (level-triggered).
  mutating func addLevel(_ descriptor: Int32) { add(descriptor, EPOLLIN.rawValue) }

  /// Undoes one addition; the descriptor is waited for until all are undone.
  mutating func remove(_ descriptor: Int32) {
    guard let count = uses[descriptor] else { return }
    uses[descriptor] = count > 1 ? count - 1 : nil
    if count == 1 { epoll_ctl(epoll, EPOLL_CTL_DEL, descriptor, nil) }
  }

  /// Sleeps until a descriptor wakes it or `timeout` nanoseconds have passed; for ever when that is negative.
  /// - Returns: how many descriptors are readable; `descriptor` returns each.
  func wait(timeout: Int64) -> Int {
    max(0, Int(cm_epoll_wait_ns(epoll, events, Int32(Self.limit), timeout)))
  }

  /// The `index`-th descriptor that ended the last sleep.
  func descriptor(_ index: Int) -> Int32 { events[index].data.fd }

  private mutating func add(_ descriptor: Int32, _ mask: UInt32) {
    uses[descriptor, default: 0] += 1
    guard uses[descriptor] == 1 else { return }
    var event = epoll_event()
    event.events = mask
    event.data.fd = descriptor
    epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event)
  }
}
