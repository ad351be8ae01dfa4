import CMachine
import Glibc
import Reactor

/// The daemon's ends of the two pipes to a process that the helper starts: orders out, answers in. The process
/// ends when they are closed.
struct ProcessPipes {
  /// Where orders are written; -1 while there is no process.
  private(set) var orders: Int32 = -1
  /// Where answers are read; -1 while there is no process.
  private(set) var answers: Int32 = -1

  var areOpen: Bool { orders >= 0 }

  /// Opens the pipes and has the process started.
  /// - Parameters:
  ///   - loop: what watches for answers.
  ///   - start: sends the helper the process's ends, its orders and its answers; returns whether it was sent.
  ///   - receive: called when there are answers, or the process has ended.
  /// - Returns: false when that is not possible; the pipes are closed then.
  mutating func open(
    _ loop: EventLoop, _ start: (Int32, Int32) -> Bool, _ receive: @escaping () -> Void
  ) -> Bool {
    var toProcess: [Int32] = [-1, -1]
    var fromProcess: [Int32] = [-1, -1]
    guard cm_pipe(&toProcess) == 0 else { return false }
    guard cm_pipe(&fromProcess) == 0 else {
      for end in toProcess { Glibc.close(end) }
      return false
    }
    let isStarted = start(toProcess[0], fromProcess[1])
    Glibc.close(toProcess[0])
    Glibc.close(fromProcess[1])
    guard isStarted else {
      Glibc.close(toProcess[1])
      Glibc.close(fromProcess[0])
      return false
    }
    (orders, answers) = (toProcess[1], fromProcess[0])
    for end in [orders, answers] { _ = fcntl(end, F_SETFL, O_NONBLOCK) }
    loop.watch(answers, receive)
    return true
  }

  mutating func close(_ loop: EventLoop) {
    guard areOpen else { return }
    loop.unwatch(answers)
    Glibc.close(answers)
    Glibc.close(orders)
    (orders, answers) = (-1, -1)
  }
}
