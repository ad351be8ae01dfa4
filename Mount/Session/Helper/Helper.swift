import CMachine
import Glibc
import Reactor

/// A daemon's helper process, which has the rights that the daemon gives up: it unmounts, remounts, starts
/// the process that invalidates cached pages, opens the status of callers, and writes log lines.
///
/// It is started before the daemon confines itself, and ends with it. Belongs to the event loop's thread,
/// except `log`.
public final class Helper {
  /// The argument that starts the program as the helper; the control socket's path follows it.
  public static let flag = "--helper"

  /// The socket that orders are sent to. A line for the log can be sent from any thread.
  public let descriptor: Int32
  /// The loop that receives its answers, and those of the processes it starts.
  let loop: EventLoop
  private var nextToken: UInt64 = 0
  /// Orders that are not answered yet. Each is called with whether it was carried out, and the descriptor that
  /// came with the answer, which it owns; -1 for none.
  private var waiting: [UInt64: (Bool, Int32) -> Void] = [:]

  /// Starts the process, with the same program as this one.
  /// - Parameters:
  ///   - socket: the path of the control socket, which the helper removes when the daemon has ended.
  /// - Throws: `MountError` when it cannot be started.
  public init(removing socket: String, _ loop: EventLoop) throws(MountError) {
    var ends: [Int32] = [-1, -1]
    guard cm_socket_pair(&ends) == 0 else { throw Self.failure(errno) }
    let code = Self.spawn(ends[1], socket)
    close(ends[1])
    descriptor = ends[0]
    self.loop = loop
    guard code == 0 else { throw Self.failure(code) }
    _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
    MountTable.keepOpen()
    loop.watch(descriptor) { [unowned self] in receive() }
  }

  deinit {
    loop.unwatch(descriptor)
    close(descriptor)
  }

  private static func failure(_ code: Int32) -> MountError {
    MountError("the helper process cannot be started: \(String(cString: strerror(code)))")
  }

  /// The header of a log message; the rest of the message is its text.
  public static func lead(ofPriority priority: Int32) -> [UInt8] {
    HelperMessage(.log, number: UInt64(UInt32(bitPattern: priority))).encoded
  }

  /// Logs a line through the helper.
  /// - Returns: false when it is lost, because the socket's buffer has no room for it.
  public static func log(_ line: String, priority: Int32, by descriptor: Int32) -> Bool {
    let bytes = lead(ofPriority: priority) + line.utf8.prefix(HelperMessage.limit - HelperMessage.headSize)
    return cm_send(descriptor, bytes, bytes.count, nil, 0, Int32(MSG_DONTWAIT)) == bytes.count
  }

  // MARK: Orders

  /// Unmounts all mount points of a mount. A mount in use is synced and detached.
  /// - Parameters:
  ///   - detaches: whether to detach it at once, for a mount without a connection.
  ///   - whenDone: called with whether the helper has done it.
  public func unmount(_ point: MountPoint, detaches: Bool, _ whenDone: @escaping (Bool) -> Void) {
    order(whenDone) { HelperMessage(.unmount, point, token: $0, number: detaches ? 1 : 0) }
  }

  /// Makes a mount read-only, where no file of it is open for writing.
  public func becomeReadOnly(_ point: MountPoint, _ whenDone: @escaping (Bool) -> Void) {
    order(whenDone) { HelperMessage(.becomeReadOnly, point, token: $0) }
  }

  /// Raises the kernel's read-ahead; the FUSE handshake alone cannot go beyond the system's default.
  func raiseReadahead(_ point: MountPoint, to bytes: UInt32) {
    order({ _ in }) { HelperMessage(.raiseReadahead, point, token: $0, number: UInt64(bytes)) }
  }

  /// Opens the status of a process (/proc/PID/stat).
  /// - Parameter whenDone: called with a descriptor, which it has to close; -1 when it cannot be opened.
  func openStatus(of process: UInt32, _ whenDone: @escaping (Int32) -> Void) {
    order({ _, descriptor in whenDone(descriptor) }) {
      HelperMessage(.openStatus, token: $0, number: UInt64(process))
    }
  }

  /// Starts a `ForgettingProcess`.
  /// - Returns: whether the order was sent.
  func startForgetting(orders: Int32, tokens: Int32, session: Int32) -> Bool {
    send(HelperMessage(.forgetPages), [orders, tokens, session])
  }

  /// Starts a `WriteBackProcess`.
  /// - Returns: whether the order was sent.
  func startWritingBack(_ point: MountPoint, orders: Int32, answers: Int32) -> Bool {
    send(HelperMessage(.writeBack, point, token: 0), [orders, answers])
  }

  private func order(_ whenDone: @escaping (Bool) -> Void, _ message: (UInt64) -> HelperMessage) {
    order(
      { isDone, descriptor in
        if descriptor >= 0 { close(descriptor) }
        whenDone(isDone)
      }, message)
  }

  private func order(_ whenDone: @escaping (Bool, Int32) -> Void, _ message: (UInt64) -> HelperMessage) {
    nextToken += 1
    waiting[nextToken] = whenDone
    if !send(message(nextToken), []) { waiting.removeValue(forKey: nextToken)?(false, -1) }
  }

  private func send(_ message: HelperMessage, _ descriptors: [Int32]) -> Bool {
    let bytes = message.encoded
    let count = cm_send(
      descriptor, bytes, bytes.count, descriptors, Int32(descriptors.count), Int32(MSG_DONTWAIT))
    return count == bytes.count
  }

  private func receive() {
    var answer = HelperMessage.Answer(token: 0, status: 0)
    let size = MemoryLayout<HelperMessage.Answer>.size
    var descriptors = [Int32](repeating: -1, count: Int(CM_DESCRIPTORS))
    var number: Int32 = 0
    while true {
      let count = cm_receive(descriptor, &answer, size, &descriptors, &number)
      if count < 0, errno == EAGAIN || errno == EINTR { return }
      guard count == size else { return lose() }
      for extra in descriptors.prefix(Int(number)).dropFirst() { close(extra) }
      let passed = number > 0 ? descriptors[0] : -1
      if let whenDone = waiting.removeValue(forKey: answer.token) {
        whenDone(answer.status == 0, passed)
      } else if passed >= 0 {
        close(passed)
      }
    }
  }

  /// Handles the end of the process: all outstanding orders fail.
  private func lose() {
    loop.unwatch(descriptor)
    let lost = waiting.sorted { $0.key < $1.key }
    waiting.removeAll()
    for (_, whenDone) in lost { whenDone(false, -1) }
  }

  // MARK: The process

  private static func spawn(_ end: Int32, _ socket: String) -> Int32 {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    // The helper keeps no other descriptor of the daemon or its caller.
    posix_spawn_file_actions_adddup2(&actions, end, HelperProcess.channel)
    for stream: Int32 in 0...2 { posix_spawn_file_actions_addopen(&actions, stream, "/dev/null", O_RDWR, 0) }
    return SelfProgram.spawn([flag, socket], &actions)
  }
}
