import CMachine
import Confinement
import Glibc

/// The process behind a `Helper`. It receives orders and sends answers through one socket pair.
///
/// It trusts the daemon as little as possible: it acts only on FUSE mounts of the daemon's user.
public enum HelperProcess {
  /// The descriptor of the socket.
  static let channel: Int32 = 3
  /// How many descriptors are passed with `forgetPages` and `writeBack`.
  private static let (forgettingDescriptors, writingDescriptors) = (3, 2)

  /// Carries out orders until the daemon has ended, then removes its control socket; never returns.
  public static func run(removing socket: String) -> Never {
    cm_close_from(channel + 1)
    Secrecy.begin()
    // Ends only after the daemon: a signal to the whole process group must not end it before the last
    // unmount.
    for number in [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE] { signal(number, SIG_IGN) }
    guard (try? Capabilities.keep(Capabilities.administration | Capabilities.search)) != nil else { exit(1) }
    Syslog.open()
    chdir("/")
    while let (message, descriptors) = receive() { obey(message, descriptors) }
    unlink(socket)
    exit(0)
  }

  /// The next order; nil once the daemon has ended.
  private static func receive() -> (HelperMessage?, [Int32])? {
    var bytes = [UInt8](repeating: 0, count: HelperMessage.limit)
    var descriptors = [Int32](repeating: -1, count: Int(CM_DESCRIPTORS))
    var number: Int32 = 0
    while true {
      let count = cm_receive(channel, &bytes, bytes.count, &descriptors, &number)
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { return nil }
      return (HelperMessage(decoding: bytes[..<count]), Array(descriptors.prefix(Int(number))))
    }
  }

  private static func obey(_ message: HelperMessage?, _ descriptors: [Int32]) {
    defer { for descriptor in descriptors { close(descriptor) } }
    guard let message else { return }
    switch message.kind {
    case .log:
      Syslog.write(message.text, priority: Int32(truncatingIfNeeded: message.number) & LOG_PRIMASK)
    case .forgetPages:
      if descriptors.count == forgettingDescriptors { start([PageForgetter.flag], descriptors) }
    case .writeBack:
      guard descriptors.count == writingDescriptors, let device = ownMount(message)?.device else { return }
      start([WriteBackProcess.flag, device], descriptors)
    case .raiseReadahead:
      let mounted = ownMount(message)
      mounted?.raiseReadahead(to: UInt32(clamping: message.number))
      answer(message, mounted != nil)
    case .openStatus:
      let file = open("/proc/\(pid_t(truncatingIfNeeded: message.number))/stat", O_RDONLY | O_CLOEXEC)
      defer { if file >= 0 { close(file) } }
      answer(message, file >= 0, file >= 0 ? [file] : [])
    case .unmount, .becomeReadOnly:
      // Unmounting and remounting take as long as the daemon needs to write.
      if !DetachedThread.start({ answer(message, carryOut(message)) }) { answer(message, false) }
    }
  }

  /// The message's mount, if it is a FUSE mount of this user.
  private static func ownMount(_ message: HelperMessage) -> MountPoint? {
    guard let point = message.point, let device = point.device else { return nil }
    let isOwn = MountTable.entries().contains {
      $0.device == device && $0.type.hasPrefix("fuse") && $0.owner == geteuid()
    }
    return isOwn ? point : nil
  }

  private static func answer(_ message: HelperMessage, _ isDone: Bool, _ descriptors: [Int32] = []) {
    var answer = HelperMessage.Answer(token: message.token, status: isDone ? 0 : 1)
    _ = cm_send(
      channel, &answer, MemoryLayout<HelperMessage.Answer>.size, descriptors, Int32(descriptors.count), 0)
  }

  private static func carryOut(_ message: HelperMessage) -> Bool {
    guard let point = ownMount(message) else { return false }
    if message.kind == .becomeReadOnly {
      do throws(MountError) { try point.becomeReadOnly() } catch { return false }
    } else {
      Unmounter.unmount(point, detaches: message.number == 1)
    }
    return true
  }

  /// Starts this program as another process, with descriptors 0, 1 and so on.
  private static func start(_ arguments: [String], _ descriptors: [Int32]) {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    // The received descriptors have higher numbers than their targets, and are close-on-exec.
    for (target, descriptor) in zip(targets, descriptors) {
      posix_spawn_file_actions_adddup2(&actions, descriptor, target)
    }
    var child = pid_t()
    guard SelfProgram.spawn(arguments, &actions, &child) == 0 else { return }
    let started = child
    _ = DetachedThread.start { while waitpid(started, nil, 0) < 0, errno == EINTR {} }
  }

  private static let targets = [0, 1, ForgettingProcess.session]
}
