import Block
import Control
import Device
import Glibc

extension ServedDevice {
  /// Where a device lies that was opened by a name. One that was found by its UUID or label is named by where it was
  /// found. To be called before the process leaves the folder that a path may be relative to.
  init(_ name: String, _ block: any BlockDevice) {
    let namespace = (block as? NamespaceDevice)?.namespace.identifier ?? 1
    let (kind, location): (Kind, String) =
      switch try? DeviceName(name) {
      case .image(let path, _, _): (.image, Self.absolute(path))
      case .vfioUser(let path, _): (.socket, Self.absolute(path))
      default: (.function, block.name.split(separator: "/").first.map(String.init) ?? block.name)
      }
    self.init(process: getpid(), device: name, kind: kind, location: location, namespace: namespace)
  }

  private static func absolute(_ path: String) -> String {
    guard let resolved = realpath(path, nil) else { return path }
    defer { free(resolved) }
    return String(cString: resolved)
  }
}
