import Device
import Glibc
import JSONValue
import PCI

/// A mount that a daemon serves, with every name a user may give it. A daemon answers `hello` with one for
/// each.
public struct ServedDevice: Sendable, Equatable {
  /// The kind of device.
  public enum Kind: String, Sendable {
    /// A PCI function, by its address.
    case function
    /// An image file, by its path with links resolved.
    case image
    /// A vfio-user socket, by its path.
    case socket
  }

  /// The state of a mount.
  public enum State: String, Sendable {
    /// It cannot be used yet.
    case starting
    case mounted
    /// It is being unmounted, or detached and still in use.
    case leaving
  }

  /// The daemon's process.
  public var process: Int32
  /// The device as it was named when it was mounted.
  public var device: String
  public var kind: Kind
  /// The address or path.
  public var location: String
  /// The namespace.
  public var namespace: UInt32
  /// The mount point; empty while there is none.
  public var mountPoint: String
  /// `major:minor` of the mounted filesystem; empty while there is none.
  public var number = ""
  /// The filesystem's, lower case, and its label.
  public var uuid: String
  public var label: String
  public var state: State

  public init(
    process: Int32, device: String, kind: Kind, location: String, namespace: UInt32, mountPoint: String = "",
    uuid: String = "", label: String = "", state: State = .starting
  ) {
    self.process = process
    self.device = device
    self.kind = kind
    self.location = location
    self.namespace = namespace
    self.mountPoint = mountPoint
    self.uuid = uuid
    self.label = label
    self.state = state
  }

  public var json: JSON {
    .object([
      ("process", .integer(process)), ("device", .text(device)), ("kind", .text(kind.rawValue)),
      ("location", .text(location)), ("nsid", .integer(namespace)), ("mount_point", .text(mountPoint)),
      ("st_dev", .text(number)),
      ("uuid", .text(uuid)), ("label", .text(label)), ("state", .text(state.rawValue)),
    ])
  }

  /// Parses an element of the answer to `hello`; nil when it is malformed.
  public init?(_ json: JSON) {
    guard let process = json["process"]?.integer(Int32.self), let device = json["device"]?.text,
      let kind = json["kind"]?.text.flatMap(Kind.init(rawValue:)), let location = json["location"]?.text,
      let namespace = json["nsid"]?.integer(UInt32.self),
      let state = json["state"]?.text.flatMap(State.init(rawValue:))
    else { return nil }
    self.init(
      process: process, device: device, kind: kind, location: location, namespace: namespace,
      mountPoint: json["mount_point"]?.text ?? "", uuid: json["uuid"]?.text ?? "",
      label: json["label"]?.text ?? "", state: state)
    number = json["st_dev"]?.text ?? ""
  }
}

/// The daemons that are running.
public enum Daemons {
  /// The mounts that a user's daemons serve, each with a connection to its daemon. All daemons together have
  /// ten seconds to answer.
  /// - Parameter user: this process's by default; root's tools do not trust another user's daemons.
  public static func mounts(of user: uid_t = geteuid()) -> [(client: ControlClient, serves: ServedDevice)] {
    mounts(of: user, in: ControlFolder.all(of: user))
  }

  static func mounts(
    of user: uid_t = geteuid(), in folders: [ControlFolder]
  ) -> [(client: ControlClient, serves: ServedDevice)] {
    let deadline = Deadline()
    return folders.flatMap { folder in
      folder.processes.flatMap { process -> [(client: ControlClient, serves: ServedDevice)] in
        guard deadline.milliseconds > 0,
          let client = ControlClient(to: process, in: folder, of: user, by: deadline),
          let hello = try? client.ask("hello", by: deadline)
        else { return [] }
        return hello.values.compactMap(ServedDevice.init).map { (client, $0) }
      }
    }
  }

  /// Refuses a device for exclusive use of its controller while a daemon serves it. A daemon that is just
  /// ending is ignored: opening the device waits for it.
  /// - Throws: `DeviceError` naming a mount on the controller.
  public static func requireNone(on name: String) throws(DeviceError) {
    guard let device = try? DeviceName(name) else { return }
    let mounts = mounts().map(\.serves).filter { $0.isOnController(of: device) && $0.state != .leaving }
    guard let mount = mounts.first(where: { $0.isCalled(device) }) ?? mounts.first else { return }
    let what =
      mount.isCalled(device)
      ? name : "\(name) cannot be used while namespace \(mount.namespace) of its controller"
    let place = mount.mountPoint.isEmpty ? "being mounted" : "mounted at \(mount.mountPoint)"
    throw DeviceError("\(what) is \(place) by process \(mount.process); unmount it first", isBusy: true)
  }
}
