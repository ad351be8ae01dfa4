import Control
import Device
import Glibc
import JSONValue
import MountSession

/// A mount that is served by the daemon of another mount of the same controller.
///
/// The daemon prepares the filesystem; this process makes the kernel's mount, with its own rights and in its
/// own mount namespace, and passes the connection to the daemon.
struct RemoteMount {
  private let client: ControlClient
  private let order: MountOrder
  private let namespace: UInt32

  /// The daemon's answer.
  enum Answer {
    /// The daemon has prepared the filesystem.
    case ready(RemoteMount)
    /// It is mounted already.
    case mounted(MountPoint, MountOptions, process: Int32)
    /// The daemon is busy with its own, first mount.
    case comes(process: Int32)
    /// The daemon, or the namespace's former mount, is just ending.
    case leaves(process: Int32)
  }

  /// Requests from the daemon that has the controller, if there is one, to prepare a filesystem for a mount.
  /// - Returns: nil where no daemon of this user has the controller.
  /// - Throws: the daemon's error.
  static func ask(
    for order: MountOrder, _ name: DeviceName, _ signals: SignalDescriptor
  ) throws(MountError) -> Answer? {
    guard let (client, namespace) = find(name) else { return nil }
    let answer: JSON?
    do throws(ControlError) {
      try client.post(
        "mount",
        [
          ("device", .text(order.device)), ("nsid", .integer(namespace)),
          ("options", .array(order.words.map { .text($0) })),
        ])
      answer = try client.answer(until: signals.descriptor)
    } catch {
      if error.isSilence { return .leaves(process: client.process) }
      throw MountError(error.description)
    }
    guard let answer else { throw MountError("interrupted while the filesystem was starting") }
    switch answer["state"]?.text {
    case "ready": return .ready(RemoteMount(client: client, order: order, namespace: namespace))
    case "starting": return .comes(process: client.process)
    case "mounted":
      let words = (answer["options"]?.values ?? []).compactMap(\.text)
      let point = MountPoint(path: answer["directory"]?.text ?? "")
      var options = try MountOptions(words)
      // A remount may have changed it.
      options.readOnly = point.isReadOnly
      return .mounted(point, options, process: client.process)
    default: return .leaves(process: client.process)
    }
  }

  /// The daemon that has the controller of a device, and the namespace in the name. Only daemons of this user
  /// are contacted: another user's process must not serve this user's mount.
  private static func find(_ name: DeviceName) -> (ControlClient, UInt32)? {
    let mounts = Daemons.mounts()
    if let namespace = name.namespace {
      return mounts.first { $0.serves.isOnController(of: name) }.map { ($0.client, namespace) }
    }
    let functions = mounts.filter { $0.serves.kind == .function }
    if let mounted = functions.first(where: { $0.serves.isCalled(name) }) {
      return (mounted.client, mounted.serves.namespace)
    }
    let question: (name: String, value: JSON)
    switch name {
    case .uuid(let uuid): question = ("uuid", .text(uuid))
    case .label(let label): question = ("label", .text(label))
    default: return nil
    }
    var asked: Set<Int32> = []
    for (client, _) in functions where asked.insert(client.process).inserted {
      if let found = try? client.ask("find", [question]).integer(UInt32.self) { return (client, found) }
    }
    return nil
  }

  /// Makes the kernel's mount and passes it to the daemon.
  /// - Parameters:
  ///   - stays: whether to return only when the mount has ended; a signal then unmounts it.
  ///   - whenUsable: called once the mount is usable; returns false when the caller has ended.
  /// - Throws: why the mount failed, or that not everything could be written.
  func serve(
    at point: MountPoint, stays: Bool, _ signals: SignalDescriptor, _ whenUsable: () -> Bool
  ) throws(MountError) {
    let mount = try KernelMount(at: point, order.sessionOptions)
    do throws(ControlError) {
      try handOver(mount, signals)
    } catch {
      mount.point.detach()
      throw MountError(error.description)
    }
    let isWanted = whenUsable()
    guard stays || !isWanted else { return }
    do throws(ControlError) {
      try waitForEnd(of: mount.point, signals, isWanted: isWanted)
    } catch { throw MountError(error.description) }
  }

  private func handOver(_ mount: KernelMount, _ signals: SignalDescriptor) throws(ControlError) {
    let descriptor = mount.takeDescriptor()
    defer { close(descriptor) }
    try client.post(
      "serve",
      [
        ("nsid", .integer(namespace)), ("directory", .text(mount.point.path)),
        ("device", .text(mount.point.device ?? "")),
      ], passing: descriptor)
    if try client.answer(until: signals.descriptor) == nil { throw ControlError("interrupted") }
  }

  private func waitForEnd(
    of point: MountPoint, _ signals: SignalDescriptor, isWanted: Bool
  ) throws(ControlError) {
    try client.post("await", [("nsid", .integer(namespace))])
    var unmounter = isWanted ? nil : Unmounter(point)
    while try client.answer(until: signals.descriptor) == nil {
      while signals.take() != nil {}
      if unmounter == nil { unmounter = Unmounter(point) }
    }
    withExtendedLifetime(unmounter) {}
  }
}
