import Control
import Device
import Glibc
import JSONValue
import SystemFiles

/// A Varve filesystem that is seen without touching its controller.
struct FoundFilesystem {
  /// The block device's name, or the device as mounts name it.
  private let device: String
  private let label: [UInt8]
  private let uuid: String
  /// Where it is mounted; empty where it is not.
  private let mountPoint: String

  /// On a block device of the kernel's.
  /// - Returns: nil where there is none, or this user may not read the device.
  init?(onBlockDevice name: String, in tree: SystemTree) {
    let descriptor = open("\(tree.dev)/\(name)", O_RDONLY | O_NONBLOCK | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var block = [UInt8](repeating: 0, count: 4096)
    guard pread(descriptor, &block, block.count, 0) == block.count, let identity = try? Identity(block: block)
    else { return nil }
    device = name
    label = identity.label
    uuid = identity.uuidText
    mountPoint = ""
  }

  /// On a device that a daemon serves.
  init(_ served: ServedDevice) {
    device = "nvme://\(served.location)/\(served.namespace)"
    label = Array(served.label.utf8)
    uuid = served.uuid
    mountPoint = served.mountPoint
  }

  var json: JSON {
    .object(
      [("device", .text(device))] + NameBytes(label).members("label") + [
        ("uuid", .text(uuid)), ("mount_point", mountPoint.isEmpty ? .null : .text(mountPoint)),
      ])
  }

  func add(to table: inout Table) { table.add(device, NameBytes(label).text, uuid, mountPoint) }
}
