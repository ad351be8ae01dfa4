import Device
import Glibc

extension ServedDevice {
  /// The location of a device that was opened by a name. For a name with a UUID or label it is where the
  /// filesystem was found. To be called before the process changes its working directory, since a path may be
  /// relative.
  /// - Parameter function: the name of the device's function.
  public init(_ name: String, function: String, namespace: UInt32) {
    let (kind, location): (Kind, String) =
      switch try? DeviceName(name) {
      case .image(let path, _, _): (.image, Self.absolute(path) ?? path)
      case .vfioUser(let path, _): (.socket, Self.absolute(path) ?? path)
      default: (.function, function)
      }
    self.init(process: getpid(), device: name, kind: kind, location: location, namespace: namespace)
  }

  /// Whether a name means the served controller, with any of its namespaces; a UUID or label means the served
  /// filesystem.
  public func isOnController(of name: DeviceName) -> Bool {
    switch name {
    case .function(let address, _): kind == .function && location == "\(address)"
    case .image(let path, _, _): kind == .image && location == Self.absolute(path)
    case .vfioUser(let path, _): kind == .socket && location == Self.absolute(path)
    case .uuid(let uuid): self.uuid == uuid
    case .label(let label): self.label == label
    }
  }

  /// Whether a name means exactly the served namespace.
  public func isCalled(_ name: DeviceName) -> Bool {
    isOnController(of: name) && name.namespace.map { $0 == namespace } != false
  }

  /// The path with all links resolved; nil where it does not exist.
  public static func absolute(_ path: String) -> String? {
    guard let resolved = realpath(path, nil) else { return nil }
    defer { free(resolved) }
    return String(cString: resolved)
  }
}
