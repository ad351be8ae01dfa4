import Control
import Device
import Glibc
import JSONValue
import MountSession

/// Mounts further namespaces for other processes of the daemon's user: `find`, `mount`, `serve` and `await`.
final class MountService {
  private unowned let daemon: Daemon
  /// The `await` requests, each with its mount.
  private var waiting: [(mount: ServedMount, reply: ControlReply)] = []

  init(_ daemon: Daemon) { self.daemon = daemon }

  /// The namespace, not mounted, whose filesystem has a UUID or label; null where there is none. Reads a
  /// block of each.
  func find(_ request: ControlRequest) throws(ControlError) -> JSON {
    let uuid = request.members["uuid"]?.text
    let label = request.members["label"]?.text
    for namespace in daemon.controller.namespaces.map(\.identifier) {
      guard !daemon.mounts.contains(where: { $0.namespace == namespace }),
        let identity = try? Identity(of: namespace, at: daemon.controller)
      else { continue }
      if identity.uuidText == uuid || label.map({ Array($0.utf8) }) == identity.label {
        return .integer(namespace)
      }
    }
    return .null
  }

  /// Prepares a filesystem to be mounted. The answer's `state` is `ready` once it can be served; `starting`
  /// while the daemon's first mount is not usable, and `leaving` while a mount is ending: both mean to ask
  /// again. For a filesystem that is mounted already it is `mounted`, with the mount point and options.
  func prepare(_ request: ControlRequest, _ reply: ControlReply) throws(ControlError) {
    guard !daemon.isLeaving else { return answer(reply, "leaving") }
    // The daemon makes its own mount itself, and must not have to answer requests of another mount meanwhile.
    guard !daemon.mounts.contains(where: { $0.client == nil && $0.state == .starting }) else {
      return answer(reply, "starting")
    }
    let namespace: UInt32 = try request.integer("nsid", in: 1...UInt32.max)
    var place = daemon.place
    place.device = try request.text("device")
    place.namespace = namespace
    if let mount = daemon.mounts.first(where: { $0.namespace == namespace }) {
      switch mount.state {
      case .leaving: return answer(reply, "leaving")
      case .starting:
        throw ControlError("\(place.device) is in use: process \(getpid()) is mounting it")
      case .mounted:
        return reply.succeed(
          .object([
            ("state", .text("mounted")), ("directory", .text(mount.served.mountPoint)),
            ("options", .array(mount.order.words.map { .text($0) })),
          ]))
      }
    }
    try requireSameController(place)
    let mount: ServedMount
    do {
      let words = (request.members["options"]?.values ?? []).compactMap(\.text)
      mount = try daemon.mount(try MountOrder(device: place.device, words: words), place)
    } catch { throw ControlError("\(error)") }
    mount.client = request.client
    mount.begin { [unowned self] failure in
      if let failure { reply.fail(failure.description) } else { answer(reply, "ready") }
    }
  }

  /// Attaches the kernel's mount to a filesystem that the same client had prepared, and answers when it can
  /// be used.
  func serve(_ request: ControlRequest, _ reply: ControlReply) throws(ControlError) {
    let mount = try self.mount(request)
    guard mount.client == request.client else { throw ControlError("the mount is not this client's") }
    guard let passed = request.passed, KernelMount.isDescriptor(passed.value) else {
      throw ControlError("the request came without the kernel's descriptor")
    }
    let point = MountPoint(path: try request.text("directory"), device: try request.text("device"))
    do throws(MountError) {
      try mount.serve(passed.take(), at: point) { [unowned mount] in
        mount.client = nil
        reply.succeed(.null)
      }
    } catch { throw ControlError(error.description) }
  }

  /// Answers when a mount has ended.
  func await(_ request: ControlRequest, _ reply: ControlReply) throws(ControlError) {
    waiting.append((try mount(request), reply))
  }

  /// Ends the mounts of a client that has disconnected before they were usable.
  func leave(_ client: UInt64) {
    for mount in daemon.mounts where mount.client == client { mount.leave() }
  }

  /// Handles the end of a mount.
  func forget(_ mount: ServedMount, _ failure: MountError?) {
    for (waited, reply) in waiting where waited === mount {
      if let failure { reply.fail(failure.description) } else { reply.succeed(.null) }
    }
    waiting.removeAll { $0.mount === mount }
  }

  /// The mount named in a request.
  func mount(_ request: ControlRequest) throws(ControlError) -> ServedMount {
    let namespace: UInt32 = try request.integer("nsid", in: 1...UInt32.max)
    guard let mount = daemon.mounts.first(where: { $0.namespace == namespace }) else {
      throw ControlError("namespace \(namespace) of \(daemon.place.location) is not mounted")
    }
    return mount
  }

  private func answer(_ reply: ControlReply, _ state: String) {
    reply.succeed(.object([("state", .text(state))]))
  }

  /// An emulated controller keeps the options of its first mount.
  private func requireSameController(_ place: ServedDevice) throws(ControlError) {
    guard case .image(_, _, let wanted) = try? DeviceName(place.device),
      case .image(_, _, let present) = try? DeviceName(daemon.place.device)
    else { return }
    guard wanted == present else {
      throw ControlError(
        "the controller of \(place.device) is in use as \(daemon.place.device) by process \(getpid()); name it "
          + "with the same options, or unmount all of it first")
    }
  }
}
