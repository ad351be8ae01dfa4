import Block
import Control
import Device
import FileSystem
import JSONValue
import Logging
import MountSession
import NVMe
import Reactor

/// Answers what tools ask of a mounted device over the control socket. Belongs to the reactor's thread, and never
/// blocks it: what the controller has to be asked goes through `AdminQueries`.
final class ControlService {
  private let place: ServedDevice
  private let block: any BlockDevice
  private let service: FileSystem
  private let session: MountSession
  private let reactor: Reactor
  private let server: ControlServer
  private let queries: AdminQueries?
  private let trace: TraceService?

  /// Opens the control socket.
  /// - Parameter place: what is served, as far as the device's name tells.
  /// - Throws: `ControlError` when that is not possible.
  init(
    _ place: ServedDevice, _ block: any BlockDevice, _ service: FileSystem, _ session: MountSession,
    _ reactor: Reactor
  ) throws(ControlError) {
    self.place = place
    self.block = block
    self.service = service
    self.session = session
    self.reactor = reactor
    let loop = ControlServer.Loop(
      watch: { reactor.watch($0, $1) }, unwatch: { reactor.unwatch($0) })
    queries = (block as? NamespaceDevice).map { AdminQueries($0.controller, loop) }
    trace = (block as? NamespaceDevice).map(TraceService.init)
    server = try ControlServer(loop: loop)
    server.handler = { [unowned self] in answer($0, $1) }
    server.whenGone = { [unowned self] in trace?.leave($0) }
  }

  private func answer(_ request: ControlRequest, _ reply: ControlReply) {
    do throws(ControlError) {
      switch request.name {
      case "hello": reply.succeed(serves.json)
      case "stat": reply.succeed(statistics)
      case "namespaces": reply.succeed(.array(try controller().namespaces.map { .integer($0.identifier) }))
      case "identify": try adminQueries().identify(request, reply)
      case "log": try adminQueries().readLog(request, reply)
      case "trace":
        guard let trace else { throw noController }
        reply.succeed(try trace.answer(request))
      default: reply.fail("the daemon knows no request '\(request.name)'; use the tools it came with")
      }
    } catch {
      reply.fail(error.description)
    }
  }

  private var noController: ControlError { ControlError("\(place.device) has no NVMe controller") }

  private func controller() throws(ControlError) -> Controller {
    guard let block = block as? NamespaceDevice else {
      throw noController
    }
    return block.controller
  }

  private func adminQueries() throws(ControlError) -> AdminQueries {
    guard let queries else { throw noController }
    return queries
  }

  private var serves: ServedDevice {
    var serves = place
    serves.mountPoint = session.mountPoint?.path ?? ""
    if let superblock = service.superblock {
      serves.uuid = Identity.text(ofUUID: superblock.uuid)
      serves.label = String(decoding: superblock.label, as: UTF8.self)
    }
    return serves
  }

  private var statistics: JSON {
    let device = block as? NamespaceDevice
    let queues = device.map { [QueueReport(adminOf: $0.controller), QueueReport(of: $0)] } ?? []
    return .object([
      ("serves", serves.json), ("time_ns", .integer(service.now.monotonic)),
      ("controller", device?.controller.report ?? .null), ("queues", .array(queues.map(\.json))),
      ("reactor", .object(Counts.members(of: reactor.counters))),
      ("operations", .object(reactor.counters.byOperation.map { ("\($0.operation)", .integer($0.count)) })),
      ("filesystem", .object(Counts.members(of: service.state) + Counts.members(of: service.statistics))),
    ])
  }
}
