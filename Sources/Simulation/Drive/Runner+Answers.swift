import FileProtocol
import Format
import Glibc

/// Comparing replies with the model.
extension Runner {
  /// Ends an action's request.
  /// - Parameter quiet: how many writes of the file had begun when it did.
  func end(_ pending: Pending, _ answer: Answer, quiet: Int) throws -> [Step] {
    let error = answer.error
    if case .lookup = pending.action, error == 0, answer.reply.node == 0, !pending.expected.isEmpty {
      return []
    }
    guard pending.expected.isEmpty else {
      if !pending.expected.contains(error) {
        if error != 0, tolerated.contains(error) { return [] }
        throw SimulationFailure(
          "\(pending.action) answers errno \(error), not \(pending.expected.sorted())")
      }
      return []
    }
    guard error == 0 else {
      try refuse(error, pending)
      return []
    }
    try accept(pending, answer, quiet: quiet)
    return []
  }

  private func accept(_ pending: Pending, _ answer: Answer, quiet: Int) throws {
    let now = harness.clock.now.realtime
    switch pending.action {
    case .write(_, _, let length, _):
      let count = Int(clamping: answer.reply.count)
      guard count == length || (count < length && tolerated.contains(ENOSPC)) else {
        throw SimulationFailure("\(pending.action) writes \(count) bytes")
      }
      if count < length { return world.shorten(pending, to: count, now: now) }
      world.succeed(pending, now: now)
    case .read(let node, let offset, let length):
      world.succeed(pending, now: now)
      try compareRead(node, offset, length, answer.data, quiet: quiet)
    case .create(_, _, _, let id), .createUnnamed(_, _, let id):
      world.node(id).handle = answer.reply.handle
      try bind(id, answer, pending, now)
    case .makeNode(_, _, _, _, let id), .makeDirectory(_, _, _, let id), .makeSymlink(_, _, _, let id):
      try bind(id, answer, pending, now)
    case .link(let node, _, _):
      world.succeed(pending, now: now)
      guard answer.reply.node == world.node(node).nodeID else {
        throw SimulationFailure("link answers node \(answer.reply.node), not \(world.node(node).nodeID)")
      }
      try check(world.node(node), answer.reply.attributes)
    case .change(let node, _):
      world.succeed(pending, now: now)
      try check(world.node(node), answer.reply.attributes)
    case .lookup(let parent, let name):
      world.succeed(pending, now: now)
      guard let child = world.child(parent, name) else { return }
      guard answer.reply.node == world.node(child).nodeID else {
        throw SimulationFailure("lookup of \(name) answers node \(answer.reply.node)")
      }
      try check(world.node(child), answer.reply.attributes)
    case .space:
      space = answer.reply.space
      guard space.available <= space.free, space.free <= space.blocks else {
        throw SimulationFailure("statfs is impossible: \(space)")
      }
    default:
      world.succeed(pending, now: now)
    }
    try dropDead(pending.orphans)
  }

  private func bind(_ id: Int, _ answer: Answer, _ pending: Pending, _ now: Int64) throws {
    let number = answer.reply.node
    if world.nodes.contains(where: { $0.nodeID == number && $0.id != id }) {
      throw SimulationFailure("node id \(number) was allocated twice")
    }
    world.succeed(pending, now: now)
    world.node(id).nodeID = number
    try check(world.node(id), answer.reply.attributes)
  }

  /// Compares the attributes in a reply with the model's current ones.
  func check(_ node: ModelNode, _ found: Attributes) throws {
    if let fault = node.fault(found, position: .max) {
      throw SimulationFailure("node \(node.nodeID) (model \(node.id)) \(fault)")
    }
    guard let history = node.history, !node.isUncertain, node.openWrites.isEmpty else { return }
    if found.size != history.size {
      throw SimulationFailure(
        "node \(node.nodeID) (model \(node.id)) has size \(found.size), not \(history.size)")
    }
  }

  private func compareRead(_ id: Int, _ offset: UInt64, _ length: Int, _ found: [UInt8], quiet: Int) throws {
    let node = world.node(id)
    guard let history = node.history, !node.isUncertain, node.openWrites.isEmpty, node.writeCount == quiet
    else { return }
    let expected = history.read(offset, count: UInt64(length))
    guard found != expected else { return }
    guard found.count == expected.count else {
      throw SimulationFailure(
        "read of model \(id) at \(offset)+\(length) gives \(found.count) bytes, not \(expected.count)")
    }
    let place = zip(found, expected).enumerated().first { $0.element.0 != $0.element.1 }?.offset ?? 0
    let start = place & ~15
    throw SimulationFailure(
      "read of model \(id) at \(offset + UInt64(place)) gives \(Stamp.describe(found[start...])), "
        + "not \(Stamp.describe(expected[start...]))")
  }

  // MARK: Forgetting

  /// Closes all files and forgets all nodes, as the kernel would.
  func letGo() throws {
    for node in world.nodes {
      guard let handle = node.handle else { continue }
      node.handle = nil
      _ = try harness.call(
        Call(node.isDirectory ? .releasedir : .release, node: node.nodeID).with { $0.handle = handle })
    }
    for node in harness.lookups.keys.sorted() { try harness.forget(node) }
  }

  /// Forgets nodes that have neither names nor open files.
  func dropDead(_ ids: [Int]) throws {
    for id in ids where !world.node(id).isAlive { try harness.forget(world.node(id).nodeID) }
  }

  /// Forgets a node, as the kernel does to save memory: not one that is open or has children with lookups.
  func drop(_ id: Int) throws {
    let node = world.node(id)
    let knowsChild = node.entries.values.contains { harness.lookups[world.node($0).nodeID] != nil }
    if id != 0, node.handle == nil, !knowsChild, !node.isShared { try harness.forget(node.nodeID) }
  }

  // MARK: Directories and attributes

  /// Reads a whole directory in pieces and compares.
  func list(_ id: Int) -> [Step] {
    let node = world.node(id)
    let plus = random.chance(50)
    let room = UInt64(random.pick([400, 1024, 4096, 65536]) ?? 4096)
    var found: [String: UInt64] = [:]
    func next(_ cookie: UInt64) -> Step {
      Step(
        call: { [self] in
          node.readings.append(Moment(from: harness.clock.now.realtime))
          return Call(plus ? .readdirplus : .readdir, node: node.nodeID).with {
            $0.handle = node.handle ?? 0
            $0.offset = cookie
            $0.length = room
          }
        },
        then: { [self] answer in
          node.readings.last?.latest = harness.clock.now.realtime
          if tolerated.contains(answer.error), answer.error != 0 { return [] }
          guard answer.error == 0 else { throw SimulationFailure("readdir fails with \(answer.error)") }
          for entry in answer.reply.entries {
            let name = String(decoding: entry.name, as: UTF8.self)
            guard found.updateValue(entry.node, forKey: name) == nil else {
              throw SimulationFailure("readdir of model \(id) gives \(name) twice")
            }
          }
          if let last = answer.reply.entries.last { return [next(last.cookie)] }
          try compareList(node, found)
          return []
        })
    }
    return [next(0)] + (random.chance(70) ? [closing(id)] : [])
  }

  /// A step that closes a directory again.
  private func closing(_ id: Int) -> Step {
    let node = world.node(id)
    return Step(
      call: {
        let handle = node.handle ?? 0
        node.handle = nil
        return Call(.releasedir, node: node.nodeID).with { $0.handle = handle }
      },
      then: { _ in [] })
  }

  private func compareList(_ node: ModelNode, _ found: [String: UInt64]) throws {
    guard !node.isShared else { return }
    for (name, child) in node.entries where found[name] != world.node(child).nodeID {
      // An inode that could not be read is listed without its node.
      if found[name] == 0, tolerated.contains(EIO) {
        refusals[EIO, default: 0] += 1
        continue
      }
      throw SimulationFailure("readdir of model \(node.id) lacks \(name) (\(world.node(child).nodeID))")
    }
    for name in found.keys.sorted() where node.entries[name] == nil && name != "." && name != ".." {
      throw SimulationFailure("readdir of model \(node.id) gives \(name), which is not there")
    }
    guard found["."] != nil, found[".."] != nil else {
      throw SimulationFailure("readdir of model \(node.id) lacks . or ..")
    }
  }

  /// Compares all of a node's attributes.
  func inspect(_ id: Int) -> [Step] {
    let node = world.node(id)
    func ask(_ call: Call, _ then: @escaping (Answer) throws -> Void) -> Step {
      Step(
        call: { call },
        then: { [self] answer in
          if answer.error != 0, tolerated.contains(answer.error) { return [] }
          guard answer.error == 0 else {
            throw SimulationFailure("\(call.operation) of model \(id) fails with errno \(answer.error)")
          }
          try then(answer)
          return []
        })
    }
    var steps = [
      ask(Call(.getattr, node: node.nodeID)) { [self] in try check(node, $0.reply.attributes) },
      ask(Call(.listxattr, node: node.nodeID).with { $0.length = 65536 }) { answer in
        let names = answer.reply.bytes.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
        guard names.sorted() == node.attributeNames else {
          throw SimulationFailure("model \(id) has attributes \(names), not \(node.attributeNames)")
        }
      },
    ]
    for name in node.attributeNames {
      steps.append(
        ask(Call(.getxattr, node: node.nodeID, name: name).with { $0.length = 65536 }) { answer in
          guard answer.reply.bytes == node.state?.attributes[name] else {
            throw SimulationFailure("model \(id) has another value of \(name)")
          }
        })
    }
    if node.type == FileType.symlink {
      steps.append(
        ask(Call(.readlink, node: node.nodeID)) { answer in
          guard answer.reply.bytes == node.state?.target else {
            throw SimulationFailure("model \(id) points elsewhere")
          }
        })
    }
    return steps
  }
}
