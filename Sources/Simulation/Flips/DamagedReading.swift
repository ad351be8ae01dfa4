import FileProtocol
import Glibc

/// Reads all of a filesystem that may be damaged, and compares it with its undamaged state: each reply must
/// be right or EIO.
struct DamagedReading {
  /// Replies that were EIO.
  private(set) var refusals = 0
  /// Replies that were neither right nor EIO, in words.
  private(set) var lies: [String] = []

  private let harness: Harness
  private let truth: Recovered
  private var visited: Set<UInt64> = []

  /// Reads everything that `truth` names.
  /// - Throws: `SimulationFailure` when the filesystem hangs or misuses its surroundings.
  init(_ harness: Harness, truth: Recovered) throws {
    self.harness = harness
    self.truth = truth
    try visit(1)
    for node in harness.lookups.keys.sorted() { try harness.forget(node) }
  }

  /// The reply to a request; nil when it was refused.
  private mutating func ask(_ call: Call) throws -> Answer? {
    let answer = try harness.call(call)
    guard answer.error != 0 else { return answer }
    if answer.error == EIO {
      refusals += 1
    } else {
      lies.append("\(call.operation) of node \(call.node) fails with errno \(answer.error)")
    }
    return nil
  }

  private mutating func visit(_ id: UInt64) throws {
    guard visited.insert(id).inserted, let node = truth.nodes[id] else { return }
    if let answer = try ask(Call(.getattr, node: id)), answer.reply.attributes != node.attributes {
      lies.append("node \(id) has other attributes")
    }
    try readExtended(id, node)
    switch node.attributes.mode & FileType.mask {
    case FileType.directory: try readDirectory(id, node)
    case FileType.symlink:
      if let answer = try ask(Call(.readlink, node: id)), answer.reply.bytes != node.target {
        lies.append("symbolic link \(id) leads elsewhere")
      }
    case FileType.regular: try readContent(id, node)
    default: break
    }
  }

  /// Looks every name up, reads its inode, and lists the directory in both ways: only a listing that was
  /// refused may lack names. Names are listed before any other request for their inodes, as `ls -l` does.
  private mutating func readDirectory(_ id: UInt64, _ node: Recovered.Node) throws {
    try compareListing(id, node, .readdirplus)
    for (name, child) in node.entries.sorted(by: { $0.value < $1.value }) {
      guard let answer = try ask(Call(.lookup, node: id, name: name)) else { continue }
      guard answer.reply.node == child else {
        lies.append("name \(name) leads to node \(answer.reply.node), not to \(child)")
        continue
      }
      try visit(child)
    }
    try compareListing(id, node, .readdir)
  }

  private mutating func compareListing(_ id: UInt64, _ node: Recovered.Node, _ way: Operation) throws {
    guard let listed = try list(id, way) else { return }
    let names = Set(listed.map { String(decoding: $0.name, as: UTF8.self) })
    if names != Set(node.entries.keys) {
      lies.append("directory \(id) lists \(names.count) names of \(node.entries.count)")
    }
    guard way == .readdirplus else { return }
    for entry in listed {
      let name = String(decoding: entry.name, as: UTF8.self)
      guard entry.node != 0 else {
        refusals += 1
        continue
      }
      if entry.node != node.entries[name] || entry.attributes != truth.nodes[entry.node]?.attributes {
        lies.append("directory \(id) lists \(name) with another node or other attributes")
      }
    }
  }

  private mutating func list(_ id: UInt64, _ way: Operation) throws -> [DirectoryEntry]? {
    guard let handle = try ask(Call(.opendir, node: id))?.reply.handle else { return nil }
    var listed: [DirectoryEntry] = []
    var cookie: UInt64 = 0
    while true {
      let call = Call(way, node: id).with {
        $0.handle = handle
        $0.offset = cookie
        $0.length = 32768
      }
      guard let entries = try ask(call)?.reply.entries else { return nil }
      guard let last = entries.last else { break }
      listed += entries
      cookie = last.cookie
    }
    _ = try ask(Call(.releasedir, node: id).with { $0.handle = handle })
    return listed.filter { $0.name != [0x2e] && $0.name != [0x2e, 0x2e] }
  }

  private mutating func readExtended(_ id: UInt64, _ node: Recovered.Node) throws {
    if let answer = try ask(Call(.listxattr, node: id).with { $0.length = 65536 }) {
      let names = answer.reply.bytes.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
      if Set(names) != Set(node.extended.keys) { lies.append("node \(id) has other extended attributes") }
    }
    for (name, value) in node.extended {
      let answer = try ask(Call(.getxattr, node: id, name: name).with { $0.length = 65536 })
      if let answer, answer.reply.bytes != value { lies.append("node \(id) has another \(name)") }
    }
  }

  private mutating func readContent(_ id: UInt64, _ node: Recovered.Node) throws {
    guard let handle = try ask(Call(.open, node: id))?.reply.handle else { return }
    for start in stride(from: 0, to: node.content.count, by: harness.memory.largestTransfer) {
      let end = min(node.content.count, start + harness.memory.largestTransfer)
      let call = Call(.read, node: id).with {
        $0.handle = handle
        $0.offset = UInt64(start)
        $0.length = UInt64(end - start)
      }
      guard let answer = try ask(call) else { continue }
      if !answer.data.elementsEqual(node.content[start..<end]) {
        lies.append("node \(id) has other bytes between \(start) and \(end)")
      }
    }
    _ = try ask(Call(.release, node: id).with { $0.handle = handle })
  }
}
