import Control
import Device
import Glibc
import JSONValue
import NVMe
import NVMeSpec
import PCI

/// A daemon that has a device, reached through its control socket.
struct ServingDaemon {
  let client: ControlClient
  let serves: ServedDevice

  /// Asks the daemon for something of its own.
  func ask(_ name: String, _ members: [(name: String, value: JSON)] = []) throws(ControlError) -> JSON {
    try client.ask(name, members)
  }

  /// The daemon that has what a person calls `name`: a device, or a folder that one is mounted at.
  /// - Returns: nil where none has it that this user may ask.
  /// - Throws: `DeviceError` for a folder that nothing is mounted at.
  static func find(_ name: String) throws(DeviceError) -> ServingDaemon? {
    let path = absolute(name)
    let daemons = Daemons.all().map { ServingDaemon(client: $0.client, serves: $0.serves) }
    if let path, let daemon = daemons.first(where: { $0.serves.mountPoint == path }) { return daemon }
    if let path, isFolder(path) {
      throw DeviceError(
        "no varve filesystem of this user's is mounted at \(path); see: findmnt -t fuse.varve")
    }
    let wanted = try DeviceName(name)
    return daemons.first { $0.serves.isCalled(wanted) }
  }

  /// Whether the kernel still has the mount: the daemon of one that was just unmounted is about to leave.
  var isMounted: Bool {
    let path = serves.mountPoint.reduce(into: "") { text, character in
      text += [" ": "\\040", "\t": "\\011", "\n": "\\012", "\\": "\\134"][character] ?? String(character)
    }
    let mounts = SystemTree().text(of: "/proc/self/mounts") ?? ""
    return mounts.split(separator: "\n").contains { line in
      let fields = line.split(separator: " ")
      return fields.count > 2 && fields[1] == path && fields[2] == "fuse.varve"
    }
  }

  static func absolute(_ path: String) -> String? {
    guard let resolved = realpath(path, nil) else { return nil }
    defer { free(resolved) }
    return String(cString: resolved)
  }

  private static func isFolder(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }
}

extension ServedDevice {
  /// Whether a name means the controller that is served; any of its namespaces.
  func isCalled(_ name: DeviceName) -> Bool {
    switch name {
    case .function(let address, _): kind == .function && location == "\(address)"
    case .image(let path, _, _): kind == .image && location == ServingDaemon.absolute(path)
    case .vfioUser(let path, _): kind == .socket && location == ServingDaemon.absolute(path)
    case .uuid(let uuid): self.uuid == uuid
    case .label(let label): self.label == label
    }
  }
}

extension ServingDaemon: ControllerSource {
  func identifyController() throws -> IdentifyController {
    try identify(.controller, namespace: 0) { IdentifyController(decoding: $0) }
  }

  func listNamespaces() throws -> [Namespace] {
    try ask("namespaces").values.compactMap { $0.integer(UInt32.self) }.map { namespace in
      let identity = try identify(.namespace, namespace: namespace) { IdentifyNamespace(decoding: $0) }
      // Controllers before 1.3 have none.
      let descriptors = try? identify(.namespaceDescriptors, namespace: namespace) {
        NamespaceDescriptor.decodeList($0)
      }
      return Namespace(identifier: namespace, identity: identity, descriptors: descriptors ?? [])
    }
  }

  func readPage(_ page: LogPage, length: Int) throws -> [UInt8] {
    var bytes: [UInt8] = []
    while bytes.count < length {
      let part = min(length - bytes.count, Controller.requestLimit)
      bytes += try data(
        "log",
        [
          ("page", .integer(page.rawValue)), ("nsid", .integer(SubmissionEntry.allNamespaces)),
          ("offset", .integer(bytes.count)), ("length", .integer(part)),
        ], count: part)
    }
    return bytes
  }

  private func identify<Structure>(
    _ structure: IdentifyStructure, namespace: UInt32, _ decode: (UnsafeRawBufferPointer) -> Structure
  ) throws -> Structure {
    try data(
      "identify", [("cns", .integer(structure.rawValue)), ("nsid", .integer(namespace))],
      count: IdentifyStructure.size
    ).withUnsafeBytes(decode)
  }

  private func data(
    _ name: String, _ members: [(name: String, value: JSON)], count: Int
  ) throws(ControlError) -> [UInt8] {
    guard let bytes = try ask(name, members).bytes, bytes.count == count else {
      throw ControlError("process \(client.process) gives no bytes for '\(name)'; use the tools it came with")
    }
    return bytes
  }
}
