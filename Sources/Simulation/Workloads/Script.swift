import FileProtocol

/// A workload made of rounds: each returns the next few actions of a client.
public final class Script: Workload {
  /// The state that a round can use.
  public struct Context {
    public let client: Int
    public let world: World
    public var random: SeededRandom
    /// The client's own directory.
    public let home: Int
    /// The round, from 0.
    public internal(set) var round = 0
    /// Numbers for scripts that have a state of their own.
    public var memory: [String: Int] = [:]
    /// Nodes made so far, dead ones too.
    public internal(set) var made: [Int] = []
    private var names = 0

    init(client: Int, world: World, random: SeededRandom, home: Int) {
      self.client = client
      self.world = world
      self.random = random
      self.home = home
    }

    /// A node number for something that is about to be made.
    public mutating func reserve() -> Int {
      let id = world.reserve(client: client)
      made.append(id)
      return id
    }

    /// A name that was not used before.
    public mutating func freshName() -> String {
      names += 1
      return "n\(client)-\(names)"
    }

    /// Nodes that have a name, in the order in which they were made.
    public var live: [Int] { made.filter { !world.node($0).names.isEmpty } }
    /// Regular files that have a name.
    public var files: [Int] { live.filter { world.node($0).isFile } }
    /// Directories, the client's own first.
    public var directories: [Int] { [home] + live.filter { world.node($0).isDirectory } }
  }

  private let rounds: Int
  private let body: (inout Context) -> [Action]
  private var contexts: [Int: Context] = [:]
  private var queues: [Int: [Action]] = [:]

  /// - Parameters:
  ///   - rounds: how often each client calls `body`.
  ///   - body: the actions of a round, in order.
  public init(rounds: Int, body: @escaping (inout Context) -> [Action]) {
    self.rounds = rounds
    self.body = body
  }

  public func next(client: Int, world: World, random: inout SeededRandom) -> Action? {
    if var queue = queues[client], let action = queue.popLast() {
      queues[client] = queue
      return action
    }
    guard var context = contexts[client] else { return begin(client, world, &random) }
    guard context.round < rounds else { return nil }
    let actions = body(&context)
    context.round += 1
    contexts[client] = context
    queues[client] = actions.reversed()
    return next(client: client, world: world, random: &random)
  }

  /// Each of several clients works in a directory of its own.
  private func begin(_ client: Int, _ world: World, _ random: inout SeededRandom) -> Action? {
    let stream = SeededRandom(random.next())
    guard world.logs.count > 1 else {
      contexts[client] = Context(client: client, world: world, random: stream, home: 0)
      return next(client: client, world: world, random: &random)
    }
    let home = world.reserve(client: client)
    contexts[client] = Context(client: client, world: world, random: stream, home: home)
    return .makeDirectory(parent: 0, name: "client\(client)", mode: 0o755, id: home)
  }
}
