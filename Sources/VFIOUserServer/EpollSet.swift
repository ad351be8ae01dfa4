import CMachine
import Glibc
import PCI

/// An epoll set that the server sleeps on.
struct EpollSet: ~Copyable {
  /// Readable while one of the set is.
  let descriptor: Int32
  private let events: UnsafeMutablePointer<epoll_event>
  private static let limit = 8

  init() throws(FunctionError) {
    descriptor = epoll_create1(Int32(EPOLL_CLOEXEC))
    guard descriptor >= 0 else {
      throw FunctionError("no more files can be opened", remedy: "raise the limit: ulimit -n", errno: errno)
    }
    events = .allocate(capacity: Self.limit)
  }

  deinit {
    events.deallocate()
    close(descriptor)
  }

  /// Wakes for as long as a descriptor is readable.
  func add(_ other: Int32) {
    var event = epoll_event()
    event.events = EPOLLIN.rawValue
    event.data.fd = other
    epoll_ctl(descriptor, EPOLL_CTL_ADD, other, &event)
  }

  func remove(_ other: Int32) { epoll_ctl(descriptor, EPOLL_CTL_DEL, other, nil) }

  /// Sleeps until a descriptor is readable or `timeout` nanoseconds have passed; for ever when that is
  /// negative.
  /// - Returns: the descriptors that are readable.
  func wait(timeout: Int64) -> [Int32] {
    let count = Int(cm_epoll_wait_ns(descriptor, events, Int32(Self.limit), timeout))
    return count > 0 ? (0..<count).map { events[$0].data.fd } : []
  }
}
