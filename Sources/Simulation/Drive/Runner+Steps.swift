import FileProtocol
import Format
import Glibc

/// Turning actions into requests, with the lookups and opens that the kernel would make before.
extension Runner {
  func steps(for action: Action, client: Int) throws -> [Step] {
    guard prepares(action) else { return [] }
    var steps: [Step] = []
    for node in action.nodes { try steps += find(node) }
    if let file = action.opens { steps += open(file) }
    switch action {
    case .close(let node): return close(node)
    case .list(let node): return steps + list(node)
    case .inspect(let node): return steps + inspect(node)
    case .forget(let node):
      try drop(node)
      return []
    default: return steps + [main(action, client: client)]
    }
  }

  /// Whether an action's nodes exist: if an earlier refused action did not make one, this action is skipped.
  private func prepares(_ action: Action) -> Bool {
    action.nodes.allSatisfy { world.node($0).state != nil && world.node($0).isAlive }
  }

  /// Looks up a node without lookups, by its path.
  private func find(_ id: Int) throws -> [Step] {
    let node = world.node(id)
    guard id != 0, harness.lookups[node.nodeID] == nil, let edge = node.names.first else { return [] }
    let step = Step(
      call: { [self] in Call(.lookup, node: world.node(edge.parent).nodeID, name: edge.name) },
      then: { [self] answer in
        guard answer.error == 0, answer.reply.node == node.nodeID else {
          if tolerated.contains(answer.error), answer.error != 0 { return [] }
          throw SimulationFailure(
            "lookup of \(edge.name) gives errno \(answer.error), node \(answer.reply.node), not \(node.nodeID)"
          )
        }
        try check(node, answer.reply.attributes)
        return []
      })
    return try find(edge.parent) + [step]
  }

  private func open(_ id: Int) -> [Step] {
    let node = world.node(id)
    guard node.handle == nil else { return [] }
    let call = Call(node.isDirectory ? .opendir : .open, node: node.nodeID).with {
      $0.flags = node.isDirectory ? 0 : LinuxFlag.readWrite
    }
    return [
      Step(
        call: { call },
        then: { [self] answer in
          if answer.error == 0 {
            node.handle = answer.reply.handle
          } else if !tolerated.contains(answer.error) {
            throw SimulationFailure("open of node \(node.nodeID) fails with errno \(answer.error)")
          }
          return []
        })
    ]
  }

  private func close(_ id: Int) -> [Step] {
    let node = world.node(id)
    guard let handle = node.handle else { return [] }
    let release = Step(
      call: {
        node.handle = nil
        return Call(node.isDirectory ? .releasedir : .release, node: node.nodeID).with { $0.handle = handle }
      },
      then: { [self] answer in
        try dropDead([id])
        return []
      })
    guard node.isFile else { return [release] }
    let flush = Step(
      call: { Call(.flush, node: node.nodeID).with { $0.handle = handle } }, then: { _ in [] })
    return [flush, release]
  }

  /// The request of an action.
  private func main(_ action: Action, client: Int) -> Step {
    var pending: Pending?
    var writes = 0
    return Step(
      call: { [self] in
        let begun = world.begin(action, client: client, now: harness.clock.now.realtime)
        pending = begun
        writes = action.opens.map { world.node($0).writeCount } ?? 0
        return call(action, begun)
      },
      then: { [self] answer in
        guard let pending else { return [] }
        return try end(pending, answer, quiet: writes)
      })
  }

  private func id(_ node: Int) -> UInt64 { world.node(node).nodeID }

  private func call(_ action: Action, _ pending: Pending) -> Call {
    switch action {
    case .lookup(let parent, let name): return Call(.lookup, node: id(parent), name: name)
    case .create(let parent, let name, let mode, _):
      return Call(.create, node: id(parent), name: name).with {
        $0.mode = FileType.regular | mode
        $0.flags = LinuxFlag.readWrite
      }
    case .createUnnamed(let parent, let mode, _):
      return Call(.createUnnamed, node: id(parent)).with {
        $0.mode = FileType.regular | mode
        $0.flags = LinuxFlag.readWrite
      }
    case .makeNode(let parent, let name, let mode, let device, _):
      return Call(.mknod, node: id(parent), name: name).with {
        $0.mode = mode
        $0.device = device
      }
    case .makeDirectory(let parent, let name, let mode, _):
      return Call(.mkdir, node: id(parent), name: name).with { $0.mode = FileType.directory | mode }
    case .makeSymlink(let parent, let name, let target, _):
      return Call(.symlink, node: id(parent), name: name).with { $0.otherName = Array(target.utf8) }
    case .link(let node, let parent, let name):
      return Call(.link, node: id(parent), name: name).with { $0.otherNode = id(node) }
    case .unlink(let parent, let name): return Call(.unlink, node: id(parent), name: name)
    case .removeDirectory(let parent, let name): return Call(.rmdir, node: id(parent), name: name)
    case .rename(let parent, let name, let newParent, let newName, let flags):
      return Call(.rename, node: id(parent), name: name).with {
        $0.otherNode = id(newParent)
        $0.otherName = Array(newName.utf8)
        $0.flags = flags
      }
    case .change(let node, let change): return Call(.setattr, node: id(node)).with { $0.change = change }
    case .setAttribute(let node, let name, let value, let flags):
      return Call(.setxattr, node: id(node), name: name).with {
        $0.otherName = value
        $0.flags = flags
      }
    case .removeAttribute(let node, let name): return Call(.removexattr, node: id(node), name: name)
    case .space: return Call(.statfs, node: 1)
    case .syncAll: return Call(.syncfs, node: 1)
    default: return fileCall(action, pending)
    }
  }

  private func fileCall(_ action: Action, _ pending: Pending) -> Call {
    switch action {
    case .write(let node, let offset, let length, let sync):
      return Call(.write, node: id(node)).with {
        $0.handle = world.node(node).handle ?? 0
        $0.offset = offset
        $0.payload = pending.payload
        $0.payloadOffset = length < harness.memory.largestTransfer && random.chance(20) ? 80 : 0
        $0.flags = LinuxFlag.readWrite | (sync ? LinuxFlag.sync : 0)
      }
    case .read(let node, let offset, let length):
      return Call(.read, node: id(node)).with {
        $0.handle = world.node(node).handle ?? 0
        $0.offset = offset
        $0.length = UInt64(length)
        $0.flags = LinuxFlag.readWrite
      }
    case .allocate(let node, let mode, let offset, let length):
      return Call(.fallocate, node: id(node)).with {
        $0.handle = world.node(node).handle ?? 0
        $0.flags = mode
        $0.offset = offset
        $0.length = length
      }
    case .sync(let node, let dataOnly):
      return Call(world.node(node).isDirectory ? .fsyncdir : .fsync, node: id(node)).with {
        $0.handle = world.node(node).handle ?? 0
        $0.flags = dataOnly ? 1 : 0
      }
    default: return Call(.getattr, node: 1)
    }
  }
}

extension Action {
  /// The nodes that must have been looked up before it.
  var nodes: [Int] {
    switch self {
    case .lookup(let parent, _), .create(let parent, _, _, _), .createUnnamed(let parent, _, _),
      .makeNode(let parent, _, _, _, _), .makeDirectory(let parent, _, _, _),
      .makeSymlink(let parent, _, _, _), .removeDirectory(let parent, _), .unlink(let parent, _):
      return [parent]
    case .link(let node, let parent, _): return [node, parent]
    case .rename(let parent, _, let newParent, _, _): return [parent, newParent]
    case .change(let node, _), .setAttribute(let node, _, _, _), .removeAttribute(let node, _),
      .write(let node, _, _, _), .read(let node, _, _), .allocate(let node, _, _, _), .sync(let node, _),
      .close(let node), .list(let node), .inspect(let node), .forget(let node):
      return [node]
    case .space, .idle, .syncAll: return []
    }
  }

  /// The node that must be open for it.
  var opens: Int? {
    switch self {
    case .write(let node, _, _, _), .read(let node, _, _), .allocate(let node, _, _, _), .sync(let node, _),
      .list(let node):
      node
    default: nil
    }
  }
}
