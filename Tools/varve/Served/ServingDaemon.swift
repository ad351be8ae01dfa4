import Control
import Device
import Glibc
import JSONValue
import NVMe
import NVMeSpec
import PCI

/// A mount of a daemon's, reached through its control socket.
struct ServingDaemon {
  let client: ControlClient
  let serves: ServedDevice

  /// Asks the daemon for something of its controller's.
  func ask(_ name: String, _ members: [(name: String, value: JSON)] = []) throws(ControlError) -> JSON {
    try client.ask(name, members)
  }

  /// Asks the daemon for something of this mount's.
  func askOfMount(_ name: String, _ members: [(name: String, value: JSON)] = []) throws(ControlError) -> JSON
  {
    try client.ask(name, [("nsid", .integer(serves.namespace))] + members)
  }

  /// The daemon that has the controller that `name` stands for: a device, or a folder that one is mounted at.
  /// Its mount of that very device, where there is one.
  /// - Returns: nil where none has it that this user may ask.
  /// - Throws: `DeviceError` for a folder that nothing is mounted at.
  static func find(_ name: String) throws(DeviceError) -> ServingDaemon? {
    let path = ServedDevice.absolute(name)
    let daemons = Daemons.mounts().map { ServingDaemon(client: $0.client, serves: $0.serves) }
    if let path, let daemon = daemons.first(where: { $0.serves.mountPoint == path }) { return daemon }
    if let path, isFolder(path) {
      throw DeviceError(
        "no varve filesystem of this user's is mounted at \(path); see: findmnt -t fuse.varve,fuseblk.varve")
    }
    let device = try DeviceName(name)
    return daemons.first { $0.serves.isCalled(device) }
      ?? daemons.first { $0.serves.isOnController(of: device) }
  }

  /// The mount that `name` stands for, and of no other namespace.
  static func findMount(_ name: String) throws(DeviceError) -> ServingDaemon? {
    guard let daemon = try find(name) else { return nil }
    guard let device = try? DeviceName(name), daemon.serves.isOnController(of: device) else { return daemon }
    return daemon.serves.isCalled(device) ? daemon : nil
  }

  private static func isFolder(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
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
