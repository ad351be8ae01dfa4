import CMachine
import Glibc

/// An epoll set: what the reactor sleeps on.
struct Sleeper: ~Copyable {
  private let epoll: Int32
  private let events: UnsafeMutablePointer<epoll_event>
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

  /// Wakes whenever `descriptor` becomes readable anew; its owner reads until it is empty before sleeping.
  func addEdge(_ descriptor: Int32) { add(descriptor, EPOLLIN.rawValue | EPOLLET.rawValue) }

  /// Wakes for as long as `descriptor` is readable.
  func addLevel(_ descriptor: Int32) { add(descriptor, EPOLLIN.rawValue) }

  func remove(_ descriptor: Int32) { epoll_ctl(epoll, EPOLL_CTL_DEL, descriptor, nil) }

  /// Sleeps until a descriptor wakes it or `timeout` nanoseconds have passed; for ever when that is negative.
  /// - Returns: how many descriptors are readable, to be asked for with `descriptor`.
  func sleep(timeout: Int64) -> Int {
    max(0, Int(cm_epoll_wait_ns(epoll, events, Int32(Self.limit), timeout)))
  }

  /// The `index`-th descriptor that ended the last sleep.
  func descriptor(_ index: Int) -> Int32 { events[index].data.fd }

  private func add(_ descriptor: Int32, _ mask: UInt32) {
    var event = epoll_event()
    event.events = mask
    event.data.fd = descriptor
    epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event)
  }
}
