import CFuse3
import CMachine
import Confinement
import Glibc

/// The process that invalidates the kernel's cached pages: it reads orders from descriptor 0, writes the
/// tokens of finished ones to 1, and has the daemon's connection to the kernel as 3.
///
/// It uses its own connection to the same mount, so that the daemon's is closed when the daemon ends, however
/// it ends: the kernel then fails all requests that the daemon had received. Requests that the daemon had not
/// received are answered here, with ENOTCONN, so that no page stays locked and a call that waits for one
/// returns. So this process always ends after the daemon, and the kernel's connection with it.
public enum ForgettingProcess {
  /// The descriptor of the daemon's connection.
  static let session: Int32 = 3
  private static let ordersAtATime = 64
  /// _IOR(229, 0, uint32_t): clones the connection of the given descriptor.
  private static let cloneConnection: UInt = 0x8004_E500

  /// Carries out orders until the daemon closes the pipe; never returns.
  public static func run() -> Never {
    // Closes all other descriptors inherited from the daemon.
    cm_close_from(session + 1)
    Secrecy.begin()
    guard (try? Capabilities.keep(0)) != nil else { exit(1) }
    let connection = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK)
    var original = UInt32(session)
    guard connection >= 0, cm_ioctl(connection, cloneConnection, &original) == 0 else { exit(1) }
    close(session)
    var thread = pthread_t()
    let argument = UnsafeMutableRawPointer(bitPattern: Int(connection))
    guard pthread_create(&thread, nil, watch, argument) == 0 else { exit(1) }
    obey(connection)
    exit(0)
  }

  private static func obey(_ connection: Int32) {
    let size = MemoryLayout<PageForgetter.Order>.size
    let nothing = PageForgetter.Order(token: 0, pages: ForgottenPages(node: 0, offset: 0, length: 0))
    var orders = [PageForgetter.Order](repeating: nothing, count: ordersAtATime)
    var tokens = [UInt64](repeating: 0, count: ordersAtATime)
    while true {
      let count = read(0, &orders, orders.count * size)
      if count < 0, errno == EINTR { continue }
      guard count >= size else { return }
      let done = count / size
      for index in 0..<done {
        tell(connection, orders[index].pages)
        tokens[index] = orders[index].token
      }
      let bytes = done * MemoryLayout<UInt64>.size
      guard write(1, tokens, bytes) == bytes else { return }
    }
  }

  /// Invalidates pages. A failure is ignored: the kernel has no such inode in memory, or has unmounted, and
  /// so has no cached pages of it.
  private static func tell(_ connection: Int32, _ pages: ForgottenPages) {
    if pages.length == ForgottenPages.inode { return drop(connection, pages.node) }
    struct Message {
      var header = fuse_out_header()
      var body = fuse_notify_inval_inode_out()
    }
    var message = Message()
    message.header.len = UInt32(MemoryLayout<Message>.size)
    message.header.error = Int32(FUSE_NOTIFY_INVAL_INODE.rawValue)
    message.body.ino = pages.node
    message.body.off = pages.offset
    message.body.len = pages.length
    _ = write(connection, &message, MemoryLayout<Message>.size)
  }

  /// FUSE_NOTIFY_PRUNE for one inode.
  private static func drop(_ connection: Int32, _ node: UInt64) {
    struct Message {
      var header = fuse_out_header()
      /// `struct fuse_notify_prune_out`.
      var count: UInt32 = 1
      var padding: UInt32 = 0
      var spare: UInt64 = 0
      var node: UInt64 = 0
    }
    var message = Message()
    message.node = node
    message.header.len = UInt32(MemoryLayout<Message>.size)
    message.header.error = prune
    _ = write(connection, &message, MemoryLayout<Message>.size)
  }

  /// FUSE_NOTIFY_PRUNE (linux/fuse.h of Linux 6.18).
  private static let prune: Int32 = 9

  // MARK: After the daemon

  private static let watch: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = {
    argument in
    let connection = Int32(truncatingIfNeeded: Int(bitPattern: argument))
    // With no events requested, poll reports only that the daemon's end of the pipe is closed.
    var pipe = pollfd(fd: 0, events: 0, revents: 0)
    while poll(&pipe, 1, -1) < 0, errno == EINTR {}
    refuseAll(connection)
    return nil
  }

  /// Answers every request with ENOTCONN, until the main thread ends the process.
  private static func refuseAll(_ connection: Int32) {
    // The kernel refuses a read whose buffer cannot hold its largest request.
    let room = 2 << 20
    let buffer = UnsafeMutableRawPointer.allocate(byteCount: room, alignment: 8)
    while true {
      var ready = pollfd(fd: connection, events: Int16(POLLIN), revents: 0)
      _ = poll(&ready, 1, 100)
      let count = read(connection, buffer, room)
      guard count >= MemoryLayout<fuse_in_header>.size else {
        if count < 0, errno == ENODEV { exit(0) }
        continue
      }
      let header = buffer.load(as: fuse_in_header.self)
      let isForget = header.opcode == FUSE_FORGET.rawValue || header.opcode == FUSE_BATCH_FORGET.rawValue
      guard !isForget else { continue }
      var answer = fuse_out_header()
      answer.len = UInt32(MemoryLayout<fuse_out_header>.size)
      answer.error = -ENOTCONN
      answer.unique = header.unique
      _ = write(connection, &answer, MemoryLayout<fuse_out_header>.size)
    }
  }
}
