import FileProtocol

/// Decides whether the filesystem that a mount shows after a crash keeps the promise.
///
/// The namespace and attributes must be the result of a prefix of each client's operations, which includes
/// all operations known to be durable; and if an operation is included, so are all operations that were
/// answered before it began. The contents of files are then judged with the operations that were found
/// durable.
struct Oracle {
  /// For each client, which lengths of the prefix explain what was found.
  private struct Candidates {
    let low: Int
    var fits: [Bool]
    var high: Int { low + fits.count - 1 }
    var none: Bool { !fits.contains(true) }
  }

  private let world: World
  private let recovered: Recovered
  private var candidates: [Candidates] = []
  /// Model nodes by node id.
  private var models: [UInt64: Int] = [:]
  private var faults: [String] = []

  /// What is wrong; nil when nothing is.
  static func fault(_ world: World, _ recovered: Recovered) -> String? {
    var oracle = Oracle(world, recovered)
    oracle.judge()
    return oracle.faults.first
  }

  private init(_ world: World, _ recovered: Recovered) {
    self.world = world
    self.recovered = recovered
    candidates = world.logs.map { log in
      Candidates(
        low: log.durable, fits: Array(repeating: true, count: log.operations.count - log.durable + 1))
    }
    for node in world.nodes where node.nodeID != 0 { models[node.nodeID] = node.id }
  }

  private mutating func judge() {
    adoptUnanswered()
    judgeNames()
    guard faults.isEmpty else { return }
    for (id, node) in recovered.nodes.sorted(by: { $0.key < $1.key }) { judgeNode(id, node) }
    guard faults.isEmpty else { return }
    judgeOrder()
  }

  /// Finds, by their names, the node ids of nodes that an unanswered operation may have made.
  private mutating func adoptUnanswered() {
    for (edge, name) in world.names {
      guard case .some(.some(let child)) = name.timeline.latest, world.node(child).nodeID == 0 else {
        continue
      }
      let parent = world.node(edge.parent).nodeID
      guard let found = recovered.nodes[parent]?.entries[edge.name], models[found] == nil else { continue }
      models[found] = child
    }
  }

  // MARK: Names

  private mutating func judgeNames() {
    var expected: Set<World.Edge> = []
    for (edge, name) in world.names {
      expected.insert(edge)
      let parent = nodeID(of: edge.parent)
      let found = parent.flatMap { recovered.nodes[$0]?.entries[edge.name] }
      let child = found.flatMap { models[$0] }
      if let found, child == nil {
        faults.append("\(describe(edge)) is node \(found), which was never made")
        return
      }
      let before = candidates[name.client]
      guard !narrow(name.client, name.timeline, to: child) else { continue }
      let changes = name.timeline.changes.map { "\($0.position): \($0.value.map(String.init) ?? "-")" }
      faults.append(
        "client \(name.client): \(describe(edge)) is \(child.map { "model \($0)" } ?? "missing"), which fits none of "
          + "\(Self.describe(before)) (changes \(changes.suffix(6).joined(separator: "; ")))")
      return
    }
    for (id, node) in recovered.nodes {
      guard let model = models[id] else { continue }
      for name in node.entries.keys.sorted() where !expected.contains(World.Edge(parent: model, name: name)) {
        faults.append("\(describe(World.Edge(parent: model, name: name))) was never made")
      }
    }
  }

  private func nodeID(of model: Int) -> UInt64? {
    let known = world.node(model).nodeID
    return known != 0 ? known : models.first { $0.value == model }?.key
  }

  private func describe(_ edge: World.Edge) -> String {
    var path = edge.name
    var place = edge.parent
    while place != 0, let up = world.node(place).names.first {
      path = "\(up.name)/\(path)"
      place = up.parent
    }
    return "/\(path)"
  }

  /// Keeps the candidates under which a name is as found.
  /// - Returns: whether there are any.
  private mutating func narrow(_ client: Int, _ timeline: Timeline<Int?>, to found: Int?) -> Bool {
    let low = candidates[client].low
    if timeline.changes(after: low, through: candidates[client].high) {
      for index in candidates[client].fits.indices where candidates[client].fits[index] {
        candidates[client].fits[index] = (timeline.value(at: low + index) ?? nil) == found
      }
      return !candidates[client].none
    }
    return (timeline.value(at: low) ?? nil) == found
  }

  private static func describe(_ candidates: Candidates) -> String {
    let numbers = candidates.fits.indices.filter { candidates.fits[$0] }.map { candidates.low + $0 }
    return "the first \(numbers.map(String.init).joined(separator: ", ")) operations"
  }

  // MARK: Nodes

  private mutating func judgeNode(_ id: UInt64, _ found: Recovered.Node) {
    guard faults.isEmpty, let model = models[id] else { return }
    let node = world.node(model)
    let client = node.client
    let before = candidates[client]
    var reason = ""
    for index in before.fits.indices where before.fits[index] {
      let position = before.low + index
      guard let fault = fault(node, found, position: position) else { continue }
      candidates[client].fits[index] = false
      reason = fault
    }
    if candidates[client].none {
      let path = node.names.first.map(describe) ?? "/"
      faults.append("client \(client): model \(model) (\(path)) \(reason) [\(Self.describe(before))]")
    }
  }

  private func fault(_ node: ModelNode, _ found: Recovered.Node, position: Int) -> String? {
    if let fault = node.fault(found.attributes, position: position) { return fault }
    guard let state = node.timeline.value(at: position) else { return "exists" }
    if found.target != state.target { return "points elsewhere" }
    if found.extended != state.attributes {
      return
        "has attributes \(found.extended.keys.sorted()), not \(state.attributes.keys.sorted()), or other values"
    }
    guard let history = node.history, !node.isUncertain else { return nil }
    return history.fault(
      position: position, content: found.content, modified: found.attributes.modificationTime)
  }

  // MARK: Order between clients

  /// Finds the shortest prefixes that fit and include, for each operation, all operations answered before it
  /// began.
  private mutating func judgeOrder() {
    var chosen: [Int] = []
    for candidate in candidates {
      guard let first = candidate.fits.firstIndex(of: true) else { return }
      chosen.append(candidate.low + first)
    }
    var changed = true
    while changed {
      changed = false
      for client in chosen.indices where chosen[client] > 0 {
        let begun = world.logs[client].operations[chosen[client] - 1].begun
        for other in chosen.indices where other != client {
          let needed = world.logs[other].operations.prefix { ($0.answered ?? .max) < begun }.count
          guard chosen[other] < needed else { continue }
          let next = (needed...max(needed, candidates[other].high)).first { position in
            position <= candidates[other].high && candidates[other].fits[position - candidates[other].low]
          }
          guard let next else {
            faults.append(
              "client \(client) has \(chosen[client]) operations, client \(other) only \(chosen[other]) of "
                + "the \(needed) that were answered before the last of them began")
            return
          }
          chosen[other] = next
          changed = true
        }
      }
    }
  }
}

extension World {
  /// What is wrong with the filesystem that a mount shows after a power cut or an orderly end; nil when
  /// nothing is.
  public func fault(_ recovered: Recovered) -> String? { Oracle.fault(self, recovered) }
}
