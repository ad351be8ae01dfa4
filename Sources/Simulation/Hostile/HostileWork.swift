import FileProtocol
import Format
import Glibc

/// Does everything that a user can do on a filesystem with wrong contents, whatever the replies are.
struct HostileWork {
  /// Replies that were errors about damage, in words.
  private(set) var refusals: [String] = []

  private let harness: Harness
  private var visited: Set<UInt64> = []
  /// What was found: directory, name, node.
  private var found: [(directory: UInt64, name: [UInt8], node: UInt64, mode: UInt32)] = []

  private static let nodeLimit = 2_000
  private static let listingLimit = 400

  /// Walks and reads everything that can be reached, and with `writing` changes all of it afterwards.
  /// - Throws: `SimulationFailure` when the filesystem hangs, misuses the disk or takes too long.
  init(_ harness: Harness, writing: Bool) throws {
    self.harness = harness
    try walk()
    if writing { try change() }
    for node in harness.lookups.keys.sorted() { try harness.forget(node) }
  }

  private mutating func ask(_ call: Call) throws -> Reply? {
    let answer = try harness.call(call)
    guard answer.error != 0 else { return answer.reply }
    if [EIO, ESTALE, EUCLEAN].contains(answer.error) {
      refusals.append("\(call.operation) of node \(call.node): errno \(answer.error)")
    }
    return nil
  }

  // MARK: Reading

  private mutating func walk() throws {
    var waiting: [UInt64] = [1]
    while let node = waiting.popLast(), visited.count < Self.nodeLimit {
      guard visited.insert(node).inserted else { continue }
      guard let attributes = try ask(Call(.getattr, node: node))?.attributes else { continue }
      try readExtended(node)
      switch attributes.mode & FileType.mask {
      case FileType.directory:
        for (name, mode) in try list(node) {
          guard let reply = try ask(Call(.lookup, node: node).with { $0.name = name }) else { continue }
          guard reply.node != 0 else {
            refusals.append("directory \(node) lists a name that it does not find")
            continue
          }
          found.append((node, name, reply.node, mode))
          waiting.append(reply.node)
        }
      case FileType.symlink: _ = try ask(Call(.readlink, node: node))
      case FileType.regular: try read(node, attributes.size)
      default: break
      }
    }
  }

  private mutating func list(_ node: UInt64) throws -> [(name: [UInt8], mode: UInt32)] {
    guard let handle = try ask(Call(.opendir, node: node))?.handle else { return [] }
    var names: [(name: [UInt8], mode: UInt32)] = []
    for operation in [Operation.readdir, .readdirplus] {
      names = []
      var cookie: UInt64 = 0
      for _ in 0..<Self.listingLimit {
        let call = Call(operation, node: node).with {
          $0.handle = handle
          $0.offset = cookie
          $0.length = 32768
        }
        guard let entries = try ask(call)?.entries, let last = entries.last else { break }
        guard last.cookie > cookie else {
          throw SimulationFailure("readdir of node \(node) goes back to cookie \(last.cookie)")
        }
        names += entries.filter { $0.cookie > 2 }.map { ($0.name, $0.attributes.mode) }
        cookie = last.cookie
      }
    }
    _ = try ask(Call(.releasedir, node: node).with { $0.handle = handle })
    if let bad = names.first(where: { !Self.isName($0.name) }) {
      throw SimulationFailure("directory \(node) shows the name \(bad.name)")
    }
    return names
  }

  /// Whether the kernel accepts the name: it refuses a whole listing with a name that it does not accept.
  private static func isName(_ name: [UInt8]) -> Bool {
    !name.isEmpty && name.count <= 255 && !name.contains(0) && !name.contains(UInt8(ascii: "/"))
      && name != [46] && name != [46, 46]
  }

  private mutating func readExtended(_ node: UInt64) throws {
    guard let list = try ask(Call(.listxattr, node: node).with { $0.length = 65536 }) else { return }
    for name in list.bytes.split(separator: 0) {
      _ = try ask(
        Call(.getxattr, node: node).with {
          $0.name = Array(name)
          $0.length = 65536
        })
    }
  }

  /// Reads a file's beginning, its end, and where data follows holes.
  private mutating func read(_ node: UInt64, _ size: UInt64) throws {
    let step = UInt64(harness.memory.largestTransfer)
    let starts = (0..<12).map { UInt64($0) * step } + [size / 2, size &- min(size, step), size, 1 << 42]
    for start in starts where start <= size {
      _ = try ask(
        Call(.read, node: node).with {
          $0.offset = start
          $0.length = step
        })
    }
    var offset: UInt64 = 0
    for turn in 0..<16 {
      let call = Call(.lseek, node: node).with {
        $0.offset = offset
        $0.flags = turn % 2 == 0 ? 3 : 4
      }
      guard let reply = try ask(call) else { break }
      offset = reply.offset
    }
  }

  // MARK: Changing

  private mutating func change() throws {
    for (index, item) in found.enumerated() {
      switch item.mode & FileType.mask {
      case FileType.regular: try changeFile(item.node, index)
      case FileType.directory: try changeDirectory(item.node, index)
      default: break
      }
      try changeExtended(item.node, index)
      if index % 50 == 0 { _ = try ask(Call(.fsync, node: item.node)) }
    }
    _ = try ask(Call(.statfs, node: 1))
    for (index, item) in found.enumerated().reversed() { try changeName(item, index) }
    try changeDirectory(1, found.count)
    _ = try ask(Call(.fsyncdir, node: 1))
    try harness.idle(10_000_000_000)
  }

  private mutating func changeFile(_ node: UInt64, _ index: Int) throws {
    for offset in [0, 1 << 20, UInt64(index) << 12, 200_000] {
      _ = try ask(
        Call(.write, node: node).with {
          $0.offset = offset
          $0.payload = Stamp.bytes(file: index & 0x7fff, write: 1, offset: offset, count: 5000)
        })
    }
    let mode: UInt32 = [0, 1, 3, 16][index % 4]
    _ = try ask(
      Call(.fallocate, node: node).with {
        $0.offset = UInt64(index) << 11
        $0.length = 100_000
        $0.flags = mode
      })
    _ = try ask(
      Call(.setattr, node: node).with { $0.change.size = [0, 100, 50_000, 1 << 30, 5][index % 5] })
  }

  private mutating func changeDirectory(_ node: UInt64, _ index: Int) throws {
    let mode = FileType.directory | 0o755
    _ = try ask(Call(.mkdir, node: node, name: "new-directory").with { $0.mode = mode })
    for count in 0..<12 {
      let name = String(repeating: "n", count: count * 20 + 1)
      _ = try ask(Call(.create, node: node, name: name).with { $0.mode = FileType.regular | 0o644 })
    }
    _ = try ask(
      Call(.symlink, node: node, name: "new-link").with { $0.otherName = Array(repeating: 120, count: 4000) })
  }

  private mutating func changeExtended(_ node: UInt64, _ index: Int) throws {
    _ = try ask(
      Call(.setxattr, node: node, name: "user.new").with {
        $0.otherName = Array(repeating: 66, count: index * 100 % 3800)
      })
    if index % 5 == 0 {
      for number in 0..<24 {
        _ = try ask(
          Call(.setxattr, node: node, name: "user.further-\(number)").with {
            $0.otherName = Array(repeating: 67, count: number == 7 ? 65536 : 150)
          })
      }
    }
    for name in index % 2 == 0 ? ["user.small", "user.huge"] : ["user.large", "user.new"] {
      _ = try ask(Call(.removexattr, node: node, name: name))
    }
  }

  private mutating func changeName(
    _ item: (directory: UInt64, name: [UInt8], node: UInt64, mode: UInt32), _ index: Int
  ) throws {
    let target = found[(index * 7 + 3) % found.count]
    if index % 3 == 0 {
      let call = Call(.rename, node: item.directory).with {
        $0.name = item.name
        $0.otherNode = target.directory
        $0.otherName = index % 2 == 0 ? target.name : Array("renamed-\(index)".utf8)
        $0.flags = index % 4 == 0 && index % 2 == 0 ? 2 : 0
      }
      _ = try ask(call)
    }
    if index % 5 == 0 {
      _ = try ask(Call(.link, node: 1, name: "linked-\(index)").with { $0.otherNode = item.node })
    }
    guard index % 3 != 1 else { return }
    let isDirectory = item.mode & FileType.mask == FileType.directory
    _ = try ask(Call(isDirectory ? .rmdir : .unlink, node: item.directory).with { $0.name = item.name })
  }
}
