import Foundation

/// A small copy of the kernel's pseudo file systems in a temporary folder.
public final class FakeSystem {
  /// The folder that holds the copy.
  public let root: String

  /// A system without any function.
  public init() throws {
    let folder = FileManager.default.temporaryDirectory.resolvingSymlinksInPath().appending(
      path: "varve-pci-\(UUID().uuidString)", directoryHint: .isDirectory)
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    root = folder.path(percentEncoded: false).trimmingSuffix("/")
    for part in ["sys/bus/pci/devices", "sys/bus/pci/drivers", "sys/class/block", "proc/self", "dev/vfio"] {
      try makeFolder(part)
    }
  }

  deinit { try? FileManager.default.removeItem(atPath: root) }

  /// Makes a folder below the root, and all above it.
  public func makeFolder(_ path: String) throws {
    try FileManager.default.createDirectory(atPath: "\(root)/\(path)", withIntermediateDirectories: true)
  }

  /// Writes a file below the root, with the line's end.
  public func write(_ text: String, to path: String) throws {
    try makeFolder(String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)]))
    try (text + "\n").write(toFile: "\(root)/\(path)", atomically: false, encoding: .utf8)
  }

  /// The contents of a file below the root.
  public func text(of path: String) throws -> String {
    try String(contentsOfFile: "\(root)/\(path)", encoding: .utf8)
  }

  /// A link at `path` to `target`, both below the root; relative, as sysfs has them.
  public func link(_ path: String, to target: String) throws {
    try makeFolder(String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)]))
    let up = String(repeating: "../", count: path.split(separator: "/").count - 1)
    try FileManager.default.createSymbolicLink(atPath: "\(root)/\(path)", withDestinationPath: up + target)
  }

  /// A function on the bus, bound to `driver`.
  public func addFunction(
    _ address: String, classCode: String = "0x010802", driver: String? = nil, group: Int? = nil
  ) throws {
    let folder = "sys/devices/pci0000:00/\(address)"
    try write("0x1b36", to: "\(folder)/vendor")
    try write("0x0010", to: "\(folder)/device")
    try write(classCode, to: "\(folder)/class")
    try write("-1", to: "\(folder)/numa_node")
    try write(String(repeating: "\0", count: 63), to: "\(folder)/config")
    try write("", to: "\(folder)/driver_override")
    try link("sys/bus/pci/devices/\(address)", to: folder)
    if let driver {
      try makeFolder("sys/bus/pci/drivers/\(driver)")
      try link("\(folder)/driver", to: "sys/bus/pci/drivers/\(driver)")
    }
    if let group { try link("\(folder)/iommu_group", to: "sys/kernel/iommu_groups/\(group)") }
    if let group { try makeFolder("sys/kernel/iommu_groups/\(group)") }
  }

  /// A block device of a function, or a partition of it (`nvme0n1/nvme0n1p1`), with its number.
  public func addBlock(_ path: String, of address: String, number: String) throws {
    let folder = "sys/devices/pci0000:00/\(address)/nvme/nvme0/\(path)"
    let name = path.split(separator: "/").last.map(String.init) ?? path
    try write(number, to: "\(folder)/dev")
    try makeFolder("\(folder)/holders")
    try link("sys/class/block/\(name)", to: folder)
    try write("", to: "dev/\(name)")
  }
}

extension String {
  fileprivate func trimmingSuffix(_ suffix: Character) -> String {
    last == suffix ? String(dropLast()) : self
  }
}
