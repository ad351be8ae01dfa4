import CMachine
import Control
import Glibc
import JSONValue
import NVMe
import NVMeSpec

/// Admin commands for tools, one after the other. A timer polls for their ends while the reactor continues
/// its work.
final class AdminQueries {
  private struct Query {
    let command: SubmissionEntry
    let length: Int
    let reply: ControlReply
  }

  private let controller: Controller
  private let loop: ControlServer.Loop
  private let timer = cm_timerfd()
  private var waiting: [Query] = []
  /// The outstanding query.
  private var current: Query?
  private var pause = firstPause

  /// How long to wait before polling for an answer, at first and at most (ns).
  private static let firstPause: UInt64 = 50_000
  private static let longestPause: UInt64 = 5_000_000

  init(_ controller: Controller, _ loop: ControlServer.Loop) {
    self.controller = controller
    self.loop = loop
    loop.watch(timer) { [unowned self] in
      var count: UInt64 = 0
      _ = read(timer, &count, MemoryLayout<UInt64>.size)
      proceed()
    }
  }

  deinit {
    loop.unwatch(timer)
    close(timer)
  }

  /// Identify: the structure `cns` of `nsid`, as bytes.
  func identify(_ request: ControlRequest, _ reply: ControlReply) throws(ControlError) {
    let structure = IdentifyStructure(rawValue: try request.integer("cns", in: 0...UInt8.max))
    let namespace: UInt32 = try request.integer("nsid", in: 0...UInt32.max)
    ask(SubmissionEntry(identify: structure, namespace: namespace), IdentifyStructure.size, reply)
  }

  /// Get Log Page: `length` bytes of page `page` of `nsid` from `offset`, as bytes.
  func readLog(_ request: ControlRequest, _ reply: ControlReply) throws(ControlError) {
    let page = LogPage(rawValue: try request.integer("page", in: 0...UInt8.max))
    let length: Int = try request.integer("length", in: 4...Controller.requestLimit)
    guard length % 4 == 0 else { throw ControlError("'length' is no multiple of 4") }
    let namespace: UInt32 = try request.integer("nsid", in: 0...UInt32.max)
    let offset: UInt64 = try request.integer("offset", in: 0...UInt64(UInt32.max))
    var command = SubmissionEntry(getLogPage: page, namespace: namespace, length: length, offset: offset)
    // Retains the asynchronous event, which is the driver's to clear.
    command.cdw10 |= 1 << 15
    ask(command, length, reply)
  }

  private func ask(_ command: SubmissionEntry, _ length: Int, _ reply: ControlReply) {
    waiting.append(Query(command: command, length: length, reply: reply))
    proceed()
  }

  /// Polls for the answer of the outstanding query, and sends the next one when it is there.
  private func proceed() {
    if let query = current {
      do throws(ControllerError) {
        guard let (_, data) = try controller.requestResult() else { return lookLater() }
        query.reply.succeed(.bytes(data))
      } catch {
        query.reply.fail("\(error)")
      }
      current = nil
    }
    guard !waiting.isEmpty else { return }
    // Waits for a controller that is being reset; one that has failed refuses the query.
    guard controller.canRequest || controller.lostErrno != nil else { return lookLater() }
    let query = waiting.removeFirst()
    do throws(ControllerError) {
      try controller.request(query.command, receiving: query.length)
      current = query
      pause = Self.firstPause
    } catch {
      query.reply.fail("\(error)")
    }
    lookLater()
  }

  private func lookLater() {
    cm_timerfd_set(timer, pause)
    pause = min(pause * 2, Self.longestPause)
  }
}
