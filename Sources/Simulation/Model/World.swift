import FileProtocol

/// The model: the filesystem as it should be, with the whole history of every name, attribute and block.
///
/// Operations belong to clients. A client does one namespace or attribute operation at a time, on nodes that
/// are its own; how operations of different clients were ordered is known only where one was answered before
/// another began.
public final class World {
  /// A name in a directory.
  public struct Edge: Hashable {
    public var parent: Int
    public var name: String
  }

  /// A name's history, counted in the operations of the client that uses it.
  struct Name {
    var client: Int
    var timeline = Timeline<Int?>()
  }

  /// The namespace and attribute operations of a client, in order.
  struct Log {
    var operations: [(begun: UInt64, answered: UInt64?)] = []
    /// How many of them are durable for certain.
    var durable = 0
  }

  public private(set) var nodes: [ModelNode] = []
  var names: [Edge: Name] = [:]
  var logs: [Log] = []
  /// Counts beginnings and replies of actions.
  private(set) var tick: UInt64 = 1

  /// A world with a root directory.
  /// - Parameter clients: how many clients there are.
  public init(clients: Int = 1) {
    logs = Array(repeating: Log(), count: clients)
    let root = ModelNode(id: 0, client: 0)
    root.nodeID = 1
    let born = Moment(from: 0)
    root.timeline.append(
      ModelNode.State(
        mode: FileType.directory | 0o755, links: 2, modified: born, changed: born, accessed: born), at: 0)
    nodes.append(root)
  }

  public func node(_ id: Int) -> ModelNode { nodes[id] }

  /// A number for a node that an operation of `client` will make.
  public func reserve(client: Int) -> Int {
    nodes.append(ModelNode(id: nodes.count, client: client))
    return nodes.count - 1
  }

  /// The node under a name, now.
  public func child(_ parent: Int, _ name: String) -> Int? { nodes[parent].entries[name] }

  func nextTick() -> UInt64 {
    tick += 1
    return tick
  }

  /// Whether the node is the directory `directory` or lies below it.
  func isInside(_ node: Int, _ directory: Int) -> Bool {
    var place = node
    while place != 0 {
      if place == directory { return true }
      guard let up = nodes[place].names.first?.parent else { return false }
      place = up
    }
    return directory == 0
  }

  // MARK: Durability

  /// Everything answered before `tick` is durable: the namespace of all clients.
  func settle(before tick: UInt64) {
    for client in logs.indices {
      let count = logs[client].operations.prefix { ($0.answered ?? .max) < tick }.count
      logs[client].durable = max(logs[client].durable, count)
    }
  }

  /// Everything answered up to now is durable, the contents of files too.
  public func settleAll() {
    let now = nextTick()
    settle(before: now)
    for node in nodes where node.history != nil { node.history?.syncedTick = now }
  }
}
