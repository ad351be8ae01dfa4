import Device
import Glibc

extension ServedDevice {
  /// Where a device lies that was opened by a name. One that was found by its UUID or label is named by where
  /// it was found. To be called before the process leaves the folder that a path may be relative to.
  /// - Parameter function: what the device's function calls itself.
  public init(_ name: String, function: String, namespace: UInt32) {
    let (kind, location): (Kind, String) =
      switch try? DeviceName(name) {
      case .image(let path, _, _): (.image, Self.absolute(path) ?? path)
      case .vfioUser(let path, _): (.socket, Self.absolute(path) ?? path)
      default: (.function, function)
      }
    self.init(process: getpid(), device: name, kind: kind, location: location, namespace: namespace)
  }

  /// Whether a name means the controller that is served, with any of its namespaces; a UUID or label means
  /// the filesystem that is served.
  public func isOnController(of name: DeviceName) -> Bool {
    switch name {
    case .function(let address, _): kind == .function && location == "\(address)"
    case .image(let path, _, _): kind == .image && location == Self.absolute(path)
    case .vfioUser(let path, _): kind == .socket && location == Self.absolute(path)
    case .uuid(let uuid): self.uuid == uuid
    case .label(let label): self.label == label
    }
  }

  /// Whether a name means just what is served.
  public func isCalled(_ name: DeviceName) -> Bool {
    isOnController(of: name) && name.namespace.map { $0 == namespace } != false
  }

  /// A path without links; nil where there is nothing.
  public static func absolute(_ path: String) -> String? {
    guard let resolved = realpath(path, nil) else { return nil }
    defer { free(resolved) }
    return String(cString: resolved)
  }
}
