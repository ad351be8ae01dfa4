import FileProtocol
import Glibc

/// Everything that a mounted filesystem shows, read through requests.
public struct Recovered {
  public struct Node: Equatable {
    public var attributes: Attributes
    public var target: [UInt8] = []
    public var extended: [String: [UInt8]] = [:]
    public var entries: [String: UInt64] = [:]
    public var content: [UInt8] = []
  }

  /// By node id; the root is 1.
  public private(set) var nodes: [UInt64: Node] = [:]

  /// Reads everything.
  /// - Throws: `SimulationFailure` for any error, and for a directory that shows a name twice or not at all.
  public init(_ harness: Harness) throws {
    let root = try harness.ask(Call(.getattr, node: 1))
    try visit(1, root.reply.attributes, harness)
    for node in harness.lookups.keys.sorted() { try harness.forget(node) }
  }

  private mutating func visit(_ id: UInt64, _ attributes: Attributes, _ harness: Harness) throws {
    var node = Node(attributes: attributes)
    node.extended = try Self.extended(id, harness)
    var children: [(UInt64, Attributes)] = []
    switch attributes.mode & FileType.mask {
    case FileType.directory:
      for entry in try Self.list(id, harness) {
        let name = String(decoding: entry.name, as: UTF8.self)
        if name == "." || name == ".." { continue }
        guard entry.node != 0 else { throw SimulationFailure("\(name) in directory \(id) cannot be read") }
        guard node.entries.updateValue(entry.node, forKey: name) == nil else {
          throw SimulationFailure("directory \(id) shows \(name) twice")
        }
        children.append((entry.node, entry.attributes))
      }
    case FileType.symlink: node.target = try harness.ask(Call(.readlink, node: id)).reply.bytes
    case FileType.regular: node.content = try Self.content(id, attributes.size, harness)
    default: break
    }
    nodes[id] = node
    for (child, attributes) in children {
      guard var known = nodes[child]?.attributes else {
        try visit(child, attributes, harness)
        continue
      }
      // Its contents have been read meanwhile, and its detached tree may have been freed.
      known.accessTime = attributes.accessTime
      known.sectors = attributes.sectors
      if attributes.mode & FileType.mask == FileType.directory || known != attributes {
        throw SimulationFailure("node \(child) appears twice, with different attributes or as a directory")
      }
    }
  }

  private static func list(_ id: UInt64, _ harness: Harness) throws -> [DirectoryEntry] {
    let handle = try harness.ask(Call(.opendir, node: id)).reply.handle
    var entries: [DirectoryEntry] = []
    var cookie: UInt64 = 0
    while true {
      let answer = try harness.ask(
        Call(.readdirplus, node: id).with {
          $0.handle = handle
          $0.offset = cookie
          $0.length = 32768
        })
      guard let last = answer.reply.entries.last else { break }
      entries += answer.reply.entries
      cookie = last.cookie
    }
    _ = try harness.ask(Call(.releasedir, node: id).with { $0.handle = handle })
    return entries
  }

  private static func extended(_ id: UInt64, _ harness: Harness) throws -> [String: [UInt8]] {
    let list = try harness.ask(Call(.listxattr, node: id).with { $0.length = 65536 })
    var result: [String: [UInt8]] = [:]
    for name in list.reply.bytes.split(separator: 0) {
      let name = String(decoding: name, as: UTF8.self)
      result[name] =
        try harness.ask(Call(.getxattr, node: id, name: name).with { $0.length = 65536 }).reply.bytes
    }
    return result
  }

  private static func content(_ id: UInt64, _ size: UInt64, _ harness: Harness) throws -> [UInt8] {
    let handle = try harness.ask(Call(.open, node: id)).reply.handle
    var bytes: [UInt8] = []
    bytes.reserveCapacity(Int(clamping: size))
    while bytes.count < size {
      let answer = try harness.ask(
        Call(.read, node: id).with {
          $0.handle = handle
          $0.offset = UInt64(bytes.count)
          $0.length = min(size - UInt64(bytes.count), UInt64(harness.memory.largestTransfer))
        })
      guard !answer.data.isEmpty else {
        throw SimulationFailure("node \(id) of \(size) bytes ends at \(bytes.count)")
      }
      bytes += answer.data
    }
    _ = try harness.ask(Call(.release, node: id).with { $0.handle = handle })
    return bytes
  }
}

extension Harness {
  /// Makes a request that must succeed.
  public func ask(_ call: Call) throws -> Answer {
    let answer = try self.call(call)
    guard answer.error == 0 else {
      throw SimulationFailure("\(call.operation) of node \(call.node) fails with errno \(answer.error)")
    }
    return answer
  }
}
