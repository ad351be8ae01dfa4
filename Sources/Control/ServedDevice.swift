import JSONValue

/// What a daemon serves, as it answers `hello`: all that a person may call it by.
public struct ServedDevice: Sendable, Equatable {
  /// What the device is reached through.
  public enum Kind: String, Sendable {
    /// A PCI function, by its address.
    case function
    /// An image file, by its path without links.
    case image
    /// A vfio-user socket, by its path.
    case socket
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
  /// The filesystem's, lower case, and its label.
  public var uuid: String
  public var label: String

  public init(
    process: Int32, device: String, kind: Kind, location: String, namespace: UInt32, mountPoint: String = "",
    uuid: String = "", label: String = ""
  ) {
    self.process = process
    self.device = device
    self.kind = kind
    self.location = location
    self.namespace = namespace
    self.mountPoint = mountPoint
    self.uuid = uuid
    self.label = label
  }

  public var json: JSON {
    .object([
      ("process", .integer(process)), ("device", .text(device)), ("kind", .text(kind.rawValue)),
      ("location", .text(location)), ("nsid", .integer(namespace)), ("mount_point", .text(mountPoint)),
      ("uuid", .text(uuid)), ("label", .text(label)),
    ])
  }

  /// Reads an answer to `hello`; nil when it is none.
  public init?(_ json: JSON) {
    guard let process = json["process"]?.integer(Int32.self), let device = json["device"]?.text,
      let kind = json["kind"]?.text.flatMap(Kind.init(rawValue:)), let location = json["location"]?.text,
      let namespace = json["nsid"]?.integer(UInt32.self)
    else { return nil }
    self.init(
      process: process, device: device, kind: kind, location: location, namespace: namespace,
      mountPoint: json["mount_point"]?.text ?? "", uuid: json["uuid"]?.text ?? "",
      label: json["label"]?.text ?? "")
  }
}

/// The daemons that are running.
public enum Daemons {
  /// Those that this process's user may ask, each with what it serves.
  public static func all(
    in folders: [ControlFolder] = ControlFolder.searched
  ) -> [(client: ControlClient, serves: ServedDevice)] {
    folders.flatMap { folder in
      folder.processes.compactMap { process -> (client: ControlClient, serves: ServedDevice)? in
        guard let client = ControlClient(to: process, in: folder),
          let hello = try? client.ask("hello"), let serves = ServedDevice(hello)
        else { return nil }
        return (client, serves)
      }
    }
  }
}
