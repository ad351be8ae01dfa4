import Glibc
import Reactor

/// Has the kernel send all dirty pages of a mount of type fuseblk, and their times, to the daemon.
///
/// For sync(2) the kernel only begins to write a FUSE filesystem back, and sends SYNCFS before it has sent the
/// pages. So another process has it write back, and the daemon answers SYNCFS after that. That process makes
/// the kernel send a SYNCFS too, once the daemon has answered all WRITEs sent before; it comes from `process`.
final class KernelWriteBack {
  /// The id of the process as the kernel's requests show it; 0 while there is none.
  private(set) var process: UInt32 = 0

  private enum State {
    case absent
    case starting
    case idle
    case writing
    /// The process waits for a lock, perhaps one that is released only after those were answered that waited
    /// for the process.
    case locked
  }

  /// How often the kernel is made to write back for one `request`. It skips files whose pages another process
  /// is just sending, which the second time sees, and files at whose turn it has 65,535 requests outstanding
  /// (`Handshake.congestionThreshold`), so that many pages, scattered in files, take more times.
  private static let limit = 64
  /// From how many WRITEs on such a skip is possible, with room for other requests.
  private static let many: UInt64 = 32768

  private let point: MountPoint
  private let helper: Helper
  private var state = State.absent
  private var pipes = ProcessPipes()
  private var number: UInt32 = 0
  /// How many times the kernel has written back for those in `served`.
  private var rounds = 0
  /// What `writeBacks` was when the present round began.
  private var writeBacksBefore: UInt64 = 0
  /// WRITEs of cached pages that were received.
  private var writeBacks: UInt64 = 0
  /// Those for whom the kernel writes back, and those who came after it had begun.
  private var served: [() -> Void] = []
  private var waiting: [() -> Void] = []

  init(_ point: MountPoint, _ helper: Helper) {
    self.point = point
    self.helper = helper
  }

  /// - Parameter whenDone: called once the kernel has sent, and the daemon answered, the WRITEs of all pages
  ///   that are dirty now, or when that is not possible.
  func request(_ whenDone: @escaping () -> Void) {
    waiting.append(whenDone)
    if state == .absent, !start() { return end() }
    advance()
  }

  /// Counts a WRITE of cached pages.
  func countWriteBack() { writeBacks &+= 1 }

  /// Ends the process; those who wait are not called.
  func close() {
    (served, waiting) = ([], [])
    leave()
  }

  private func advance() {
    guard state == .idle, !waiting.isEmpty else { return }
    (served, waiting) = (waiting, [])
    rounds = 0
    state = .writing
    order()
  }

  private func order() {
    number &+= 1
    rounds += 1
    writeBacksBefore = writeBacks
    // The pipe has room: one order at most is in it.
    let size = MemoryLayout<UInt32>.size
    guard write(pipes.orders, &number, size) == size else { return end() }
  }

  private func receive() {
    var answer = WriteBackProcess.Answer(kind: .done, number: 0)
    let size = MemoryLayout<WriteBackProcess.Answer>.size
    let count = read(pipes.answers, &answer, size)
    if count < 0, errno == EAGAIN || errno == EINTR { return }
    guard count == size else { return end() }
    switch answer.kind {
    case .ready:
      process = answer.number
      state = .idle
      advance()
    case .waits:
      guard answer.number == number, state == .writing || state == .locked else { return }
      state = .locked
      callAll()
    case .done:
      guard answer.number == number else { return }
      if state == .writing, mustRepeat { return order() }
      state = .idle
      callServed()
      advance()
    }
  }

  private var mustRepeat: Bool {
    let written = writeBacks &- writeBacksBefore
    return written >= Self.many ? rounds < Self.limit : written > 0 && rounds == 1
  }

  private func callServed() {
    let called = served
    served = []
    for whenDone in called { whenDone() }
  }

  private func callAll() {
    served += waiting
    waiting = []
    callServed()
  }

  /// Handles the end of the process, or that it cannot be started: the next request tries again.
  private func end() {
    leave()
    callAll()
  }

  // MARK: The process

  private func start() -> Bool {
    state = .starting
    return pipes.open(helper.loop) { [helper, point] orders, answers in
      helper.startWritingBack(point, orders: orders, answers: answers)
    } _: { [unowned self] in
      receive()
    }
  }

  private func leave() {
    pipes.close(helper.loop)
    (process, state) = (0, .absent)
  }
}
