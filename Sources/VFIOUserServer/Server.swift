import CMachine
import EmulatedController
import Glibc
import NVMeSpec
import PCI
import VFIOUser

/// Serves an emulated controller at a socket, to one client at a time.
///
/// The server belongs to the thread that calls `run`; `stop` may be called from any, and from a signal
/// handler.
public final class Server: @unchecked Sendable {
  /// The socket's path.
  public let path: String
  private let controller: EmulatedController
  private let listener: ListeningSocket
  private let doorbells: DoorbellPage?
  private let options: ServerOptions
  private let epoll: EpollSet
  /// Readable once the server has to end.
  private let ends: EpollSet
  private var session: Session?
  /// Eventfds: for `stop`, and for the end of a worker thread's job.
  private let stopDescriptor: Int32
  private let workDescriptor: Int32
  private var isStopped = false

  /// Called on the server's thread when a client connects or disconnects.
  public var report: (String) -> Void = { _ in }
  /// Called on the server's thread with the reason why a client cannot use the server, where the operator has
  /// to fix it.
  public var warn: (String) -> Void = { _ in }

  /// Listens at a socket.
  /// - Parameter controller: the controller to serve; it is closed when `run` returns.
  /// - Throws: `FunctionError` when the socket cannot be made.
  public init(
    _ controller: EmulatedController, socket path: String, options: ServerOptions = ServerOptions()
  ) throws(FunctionError) {
    self.path = path
    self.controller = controller
    self.options = options
    epoll = try EpollSet()
    ends = try EpollSet()
    listener = try ListeningSocket(path, mode: options.mode)
    (stopDescriptor, workDescriptor) = (cm_eventfd(), cm_eventfd())
    doorbells = options.sharesDoorbells ? DoorbellPage(size: controller.size(ofBAR: 0)) : nil
    guard stopDescriptor >= 0, workDescriptor >= 0 else {
      throw FunctionError("no more files can be opened", remedy: "raise the limit: ulimit -n", errno: EMFILE)
    }
    ends.add(stopDescriptor)
    for descriptor in [listener.descriptor, ends.descriptor, workDescriptor] { epoll.add(descriptor) }
    controller.workDescriptor = workDescriptor
    if let doorbells { controller.shareDoorbells(doorbells.base + Register.doorbells) }
  }

  deinit {
    for descriptor in [stopDescriptor, workDescriptor] where descriptor >= 0 { close(descriptor) }
  }

  /// Asks `run` to return.
  public func stop() { cm_eventfd_signal(stopDescriptor) }

  /// Serves until `stop`. The controller is closed then, and its image unlocked.
  /// - Parameter descriptor: a descriptor that ends the server too, once it is readable.
  public func run(until descriptor: Int32? = nil) {
    if let descriptor { ends.add(descriptor) }
    var schedule = PollSchedule(options)
    while !isStopped {
      let isBusy = work(&schedule)
      let rest = schedule.sleepTime(after: isBusy, isPolled: isPolled, isAwaited: controller.awaitsService)
      if rest != 0 || schedule.looksAtSockets { waitForMessages(for: hasDelayed ? 0 : rest) }
    }
    endSession("the server ends")
    controller.close()
  }

  /// Whether a client may store to shared doorbells, which have to be polled.
  private var isPolled: Bool { doorbells != nil && session != nil && controller.isRunning }

  /// Handles doorbells, due times and results of worker threads.
  /// - Returns: whether there was anything.
  @inline(__always)
  private func work(_ schedule: inout PollSchedule) -> Bool {
    let isBusy = controller.pollDoorbells()
    if controller.awaitsService {
      let due = controller.service(now: cm_monotonic_ns())
      schedule.due = due
    } else {
      schedule.due = .max
    }
    return isBusy
  }

  /// Sleeps for `rest` nanoseconds at most, and handles what has arrived on the sockets.
  private func waitForMessages(for rest: Int64) {
    for descriptor in epoll.wait(timeout: limited(rest)) {
      switch descriptor {
      case ends.descriptor: isStopped = true
      case workDescriptor:
        cm_eventfd_clear(workDescriptor)
        _ = controller.service(now: cm_monotonic_ns())
      case listener.descriptor: break
      default: receive()
      }
    }
    // The current client's messages come first: its end makes room for the next.
    if hasDelayed || session?.socket.isLate == true || session?.remote.isLost == true { receive() }
    acceptClients()
    releaseCopies()
  }

  /// `rest`, limited by the deadline of the message being received.
  private func limited(_ rest: Int64) -> Int64 {
    guard let left = session?.socket.due?.nanoseconds else { return rest }
    return rest < 0 ? Int64(clamping: left) : min(rest, Int64(clamping: left))
  }

  /// Whether requests of the client were queued during a memory access.
  private var hasDelayed: Bool { session?.remote.hasDelayed == true }

  private func receive() {
    do throws(SocketError) { try session?.receive() } catch {
      endSession(error == .closed ? "the client has left" : "the client was disconnected: \(error)")
    }
  }

  private func acceptClients() {
    // No more at once than the backlog, so that clients that connect without end do not starve the rest of
    // the server.
    for _ in 0..<ListeningSocket.backlog {
      guard let socket = listener.accept(patience: options.patience, interruption: ends.descriptor) else {
        return
      }
      // The current client may have left unnoticed; the next must not be refused for it.
      if session != nil { receive() }
      guard session == nil else {
        Self.refuseClient(socket)
        continue
      }
      let session = Session(socket, controller, doorbells, patience: options.patience)
      session.warn = warn
      socket.expect()
      self.session = session
      epoll.add(socket.descriptor)
      report("a client has connected")
    }
  }

  /// Answers a client's first message, which may not have arrived yet, with EBUSY.
  private static func refuseClient(_ socket: MessageSocket) {
    try? socket.send(
      identifier: 0, command: MessageCommand.version.rawValue, flags: [.reply, .error], errno: UInt32(EBUSY))
  }

  private func endSession(_ reason: String) {
    guard let session else { return }
    epoll.remove(session.socket.descriptor)
    session.end()
    self.session = nil
    report(reason)
  }

  /// Frees the copies of remote memory now and then, between commands.
  private func releaseCopies() {
    let limit = 64 << 20
    guard let session, session.remote.traffic > limit, !controller.awaitsService else { return }
    for region in session.dmaRegions { region.releaseCopies() }
    session.remote.forgetTraffic()
  }
}
