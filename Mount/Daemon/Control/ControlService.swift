import Block
import Control
import Format
import FileProtocol
import JSONValue
import ToolSupport
import MountSession
import NVMe
import Reactor

/// Answers requests over the control socket: of tools, and of other processes that mount further namespaces.
/// Belongs to the event loop's thread, and blocks it only while queues are created: admin commands go through
/// `AdminQueries`.
final class ControlService {
  private unowned let daemon: Daemon
  private let server: ControlServer
  private let queries: AdminQueries
  private let mounting: MountService

  /// Opens the control socket.
  /// - Throws: `ControlError` when that is not possible.
  init(_ daemon: Daemon) throws(ControlError) {
    self.daemon = daemon
    let loop = ControlServer.Loop(
      watch: { [loop = daemon.loop] in loop.watch($0, $1) },
      unwatch: { [loop = daemon.loop] in loop.unwatch($0) })
    queries = AdminQueries(daemon.controller, loop)
    mounting = MountService(daemon)
    server = try ControlServer(loop: loop)
    server.handler = { [unowned self] in answer($0, $1) }
    server.whenGone = { [unowned self] client in
      for mount in self.daemon.mounts { mount.trace.leave(client) }
      mounting.leave(client)
    }
  }

  /// Handles the end of a mount, with the error when not all of it could be written.
  func forget(_ mount: ServedMount, _ failure: MountError?) { mounting.forget(mount, failure) }

  private func answer(_ request: ControlRequest, _ reply: ControlReply) {
    do throws(ControlError) {
      switch request.name {
      case "hello": reply.succeed(.array(daemon.mounts.map(\.served.json)))
      case "stat":
        let placement = daemon.placement?.json(daemon.loop) ?? .null
        reply.succeed(try mounting.mount(request).statistics(placement))
      case "namespaces":
        reply.succeed(.array(daemon.controller.namespaces.map { .integer($0.identifier) }))
      case "identify": try queries.identify(request, reply)
      case "log": try queries.readLog(request, reply)
      case "trace": reply.succeed(try mounting.mount(request).trace.answer(request))
      case "find": reply.succeed(try mounting.find(request))
      case "mount": try mounting.prepare(request, reply)
      case "serve": try mounting.serve(request, reply)
      case "await": try mounting.await(request, reply)
      default: reply.fail("the daemon does not support '\(request.name)'; use the tools it came with")
      }
    } catch {
      reply.fail(error.description)
    }
  }
}

extension ErrorRecord {
  /// The errors since the last full check.
  fileprivate var json: JSON {
    .object([
      ("damaged_blocks", .integer(count(of: .checksum))), ("failed_reads", .integer(count(of: .read))),
      ("failed_writes", .integer(count(of: .write))), ("refused_mounts", .integer(count(of: .mount))),
      ("first", first.map { .text($0.text) } ?? .null), ("last", last.map { .text($0.text) } ?? .null),
    ])
  }
}

extension ServedMount {
  /// The output of `varve stat` for a mount.
  fileprivate func statistics(_ placement: JSON) -> JSON {
    .object([
      ("version", .text(varveVersion)), ("serves", served.json), ("time_ns", .integer(service.now.monotonic)),
      ("controller", block.controller.report),
      ("queues", .array([QueueReport(adminOf: block.controller), QueueReport(of: block)].map(\.json))),
      (
        "kernel_cache",
        .object([
          ("writeback", .bool(writesBack)), ("parallel_direct_writes", .bool(writesInParallel)),
          ("known_inodes_limit", knownInodeLimit.map { .integer(UInt64($0)) } ?? .null),
        ])
      ), ("placement", placement),
      ("reactor", .object(Counts.members(of: reactor.counters))),
      ("operations", .object(reactor.counters.byOperation.map { ("\($0.operation)", .integer($0.count)) })),
      ("waits", service.waitReport), ("recorded_errors", service.errorRecord.json),
      ("filesystem", .object(Counts.members(of: service.state) + Counts.members(of: service.statistics))),
    ])
  }
}
