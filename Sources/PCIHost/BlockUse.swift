import CMachine
import Glibc
import SystemFiles

/// A use of one of a function's devices, block or character, that unbinding the function would break.
public enum BlockUse: Hashable, Sendable, CustomStringConvertible {
  /// A file system on the block device is mounted at a folder.
  case mounted(block: String, folder: String)
  /// The block device is swap space.
  case swap(block: String)
  /// Another block device is stacked on it: LVM, RAID, encryption.
  case holder(block: String, holder: String)
  /// A loop device uses it.
  case loop(block: String, loop: String)
  /// The kernel's NVMe target exports it to other machines.
  case exported(block: String, subsystem: String)
  /// The kernel has it open exclusively, such as for a mount in another namespace.
  case claimed(block: String)
  /// A process has it open.
  case open(block: String, process: ProcessName)

  public var description: String {
    switch self {
    case .mounted(let block, let folder): "\(block) is mounted at \(folder)"
    case .swap(let block): "\(block) is used as swap space"
    case .holder(let block, let holder): "\(block) is part of \(holder)"
    case .loop(let block, let loop): "\(block) is used by \(loop)"
    case .exported(let block, let subsystem): "\(block) is exported as \(subsystem)"
    case .claimed(let block): "\(block) is in use by the kernel"
    case .open(let block, let process): "\(block) is open in \(process)"
    }
  }

  /// Whether `--force` may override it: a process that merely has the block device open would see errors, but
  /// no part of the kernel depends on it.
  var canBeOverridden: Bool { if case .open = self { true } else { false } }

  /// The uses of the function's block devices, disks and partitions alike, and of the character devices of
  /// the controller and its namespaces; none where its driver makes none.
  public static func all(of function: FunctionInfo, in tree: SystemTree = SystemTree()) -> [BlockUse] {
    let blocks = Blocks(of: function, in: tree)
    let exports = exports(in: tree)
    return uses(ofCharacters: blocks.characters, exports, tree) + uses(ofBlocks: blocks.names, exports, tree)
  }

  private static func uses(
    ofCharacters names: [String], _ exports: [Export], _ tree: SystemTree
  ) -> [BlockUse] {
    names.flatMap { name -> [BlockUse] in
      let exported = exports.filter { $0.path == "/dev/\(name)" }
      let holders = OpenFiles.holders(of: "\(tree.dev)/\(name)", in: tree)
      return exported.map { .exported(block: name, subsystem: $0.subsystem) }
        + holders.map { .open(block: name, process: $0) }
    }
  }

  private static func uses(ofBlocks names: [String], _ exports: [Export], _ tree: SystemTree) -> [BlockUse] {
    let mounts = Mounts(in: tree)
    let swaps = swapSpaces(in: tree)
    let loops = loopDevices(in: tree)
    return names.flatMap { block -> [BlockUse] in
      let folder = "\(tree.sys)/class/block/\(block)"
      let folders = mounts.folders(of: block, number: tree.text(of: "\(folder)/dev") ?? "")
      var uses = folders.map { BlockUse.mounted(block: block, folder: $0) }
      if swaps.contains(block) { uses.append(.swap(block: block)) }
      uses += tree.names(in: "\(folder)/holders").map {
        .holder(block: block, holder: name(ofHolder: $0, in: tree))
      }
      let (path, node) = ("/dev/\(block)", "\(tree.dev)/\(block)")
      uses += loops.filter { $0.path == path }.map { .loop(block: block, loop: $0.loop) }
      let exported = exports.filter { tree.canonical($0.path) == path }
      uses += exported.map { .exported(block: block, subsystem: $0.subsystem) }
      uses += OpenFiles.holders(of: node, in: tree).map { .open(block: block, process: $0) }
      if uses.isEmpty && isClaimed(node) { uses.append(.claimed(block: block)) }
      return uses
    }
  }

  /// The loop devices, each with its file.
  private static func loopDevices(in tree: SystemTree) -> [(loop: String, path: String)] {
    tree.names(in: "\(tree.sys)/class/block").compactMap { name in
      tree.text(of: "\(tree.sys)/class/block/\(name)/loop/backing_file").map { (name, $0) }
    }
  }

  private typealias Export = (subsystem: String, path: String)

  /// The exports of the kernel's NVMe target: namespaces by the path of their block device, whole controllers
  /// by that of their character device.
  private static func exports(in tree: SystemTree) -> [Export] {
    let subsystems = "\(tree.sys)/kernel/config/nvmet/subsystems"
    return tree.names(in: subsystems).flatMap { subsystem -> [Export] in
      let folder = "\(subsystems)/\(subsystem)"
      let namespaces = tree.names(in: "\(folder)/namespaces").map { "\(folder)/namespaces/\($0)" }
      return (namespaces + ["\(folder)/passthru"]).compactMap { export in
        guard tree.text(of: "\(export)/enable") == "1" else { return nil }
        return tree.text(of: "\(export)/device_path").map { (subsystem, $0) }
      }
    }
  }

  /// The last parts of the paths in `/proc/swaps`.
  private static func swapSpaces(in tree: SystemTree) -> Set<String> {
    let lines = tree.text(of: "\(tree.proc)/swaps")?.split(separator: "\n").dropFirst() ?? []
    return Set(
      lines.compactMap { $0.split(separator: " ").first?.split(separator: "/").last.map(String.init) })
  }

  /// The name of a holder in messages: its kind, and for a device-mapper device its own name.
  private static func name(ofHolder holder: String, in tree: SystemTree) -> String {
    let folder = "\(tree.sys)/class/block/\(holder)"
    if tree.exists("\(folder)/md") { return "the RAID array \(holder)" }
    guard let name = tree.text(of: "\(folder)/dm/name") else { return holder }
    let uuid = tree.text(of: "\(folder)/dm/uuid") ?? ""
    let kinds = [
      ("LVM-", "the logical volume "), ("CRYPT-", "the encrypted volume "),
      ("mpath-", "the multipath device "),
    ]
    let kind = kinds.first { uuid.hasPrefix($0.0) }?.1 ?? ""
    return "\(kind)\(name) (\(holder))"
  }

  /// Opening a block device exclusively fails while the kernel uses it in any way.
  private static func isClaimed(_ node: String) -> Bool {
    let descriptor = Glibc.open(node, O_RDONLY | O_EXCL | O_CLOEXEC)
    guard descriptor < 0 else {
      close(descriptor)
      return false
    }
    return errno == EBUSY
  }
}

extension FunctionInfo {
  /// The model as read by the kernel's own driver; nil where that is not bound to the controller.
  public func kernelModel(in tree: SystemTree = SystemTree()) -> String? {
    tree.names(in: "\(folder)/nvme").lazy.compactMap { tree.text(of: "\(folder)/nvme/\($0)/model") }
      .first.map { String($0.reversed().drop { $0 == " " }.reversed()) }
  }

  /// The names of its block devices, disks and partitions alike; none where its driver makes none.
  public func blockDevices(in tree: SystemTree = SystemTree()) -> [String] {
    Blocks(of: self, in: tree).names
  }
}

/// The devices of a function, by name.
private struct Blocks {
  let names: [String]
  /// Character devices: the controller's, and the generic ones of its namespaces.
  let characters: [String]

  init(of function: FunctionInfo, in tree: SystemTree) {
    guard let folder = tree.resolved(function.folder) else {
      (names, characters) = ([], [])
      return
    }
    let folders = [folder] + Self.subsystems(of: folder, in: tree)
    func devices(_ kind: String) -> [String] {
      tree.names(in: "\(tree.sys)/class/\(kind)").filter { name in
        guard let path = tree.resolved("\(tree.sys)/class/\(kind)/\(name)") else { return false }
        return folders.contains { path.hasPrefix($0 + "/") }
      }
    }
    names = devices("block")
    characters = devices("nvme") + devices("nvme-generic")
  }

  /// With native multipath, a namespace's block device belongs to a virtual NVM subsystem that links to its
  /// controllers.
  private static func subsystems(of folder: String, in tree: SystemTree) -> [String] {
    let all = "\(tree.sys)/class/nvme-subsystem"
    return tree.names(in: all).compactMap { name in
      let path = "\(all)/\(name)"
      let isOurs = tree.names(in: path).contains { controller in
        controller.hasPrefix("nvme")
          && tree.resolved("\(path)/\(controller)")?.hasPrefix(folder + "/") == true
      }
      return isOurs ? tree.resolved(path) : nil
    }
  }
}

/// The mounts of this process's namespace: `/proc/self/mountinfo`, see proc(5).
private struct Mounts {
  private struct Mount {
    let number: Substring
    let folder: String
    let source: String
  }

  private let mounts: [Mount]

  init(in tree: SystemTree) {
    let lines = tree.text(of: "\(tree.proc)/self/mountinfo")?.split(separator: "\n") ?? []
    mounts = lines.compactMap { line in
      let fields = line.split(separator: " ")
      // A number of optional fields comes before the dash, and type and source after it.
      guard let dash = fields.firstIndex(of: "-"), dash >= 6, fields.count > dash + 2 else { return nil }
      return Mount(number: fields[2], folder: unescaped(fields[4]), source: unescaped(fields[dash + 2]))
    }
  }

  /// Where a block device is mounted, by its number or, as some file systems show none, by its name.
  func folders(of block: String, number: String) -> [String] {
    mounts.filter { $0.number == number || $0.source.split(separator: "/").last.map(String.init) == block }
      .map(\.folder)
  }
}

/// A path as proc(5) writes it, where blanks and backslashes are three octal digits.
private func unescaped(_ text: Substring) -> String {
  var bytes: [UInt8] = []
  var rest = Array(text.utf8)[...]
  while let byte = rest.popFirst() {
    let digits = rest.prefix(3).map { Int($0) - 0x30 }
    guard byte == UInt8(ascii: "\\"), digits.count == 3, digits.allSatisfy({ (0...7).contains($0) }) else {
      bytes.append(byte)
      continue
    }
    bytes.append(UInt8(truncatingIfNeeded: digits[0] << 6 | digits[1] << 3 | digits[2]))
    rest.removeFirst(3)
  }
  return String(decoding: bytes, as: UTF8.self)
}
