import Glibc

/// Checks eventfds.
enum EventDescriptor {
  /// Whether a read would return at once, within `milliseconds`.
  static func isReadable(_ descriptor: Int32, milliseconds: Int32 = 0) -> Bool {
    var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    return poll(&entry, 1, milliseconds) == 1
  }
}
