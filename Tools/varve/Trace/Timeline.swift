import Control

/// Joins the events of a filesystem and the NVMe commands of its device to what people ask about: each request,
/// or piece of background work, with what it waited for, its block commands, and the NVMe commands that carried
/// them out.
///
/// Events come in their order, commands after the events of the block commands that they carry out.
struct Timeline {
  /// A request from its arrival to its reply, or some work of a job or the device.
  struct Activity {
    let actor: ReportedEvent.Actor
    /// In the order in which they happened; without the ends of block commands.
    fileprivate(set) var events: [ReportedEvent] = []
    /// The numbers of its block commands that have not ended.
    fileprivate var open: Set<UInt64> = []
    /// The ends of its block commands, by number.
    fileprivate(set) var ends: [UInt64: ReportedEvent] = [:]
    /// The NVMe commands, by the number of the block command.
    fileprivate(set) var commands: [UInt64: [TracedCommand]] = [:]
    /// Nothing more begins in it.
    fileprivate(set) var isOver = false
    /// How many batches came since it was complete but for NVMe commands.
    fileprivate var patience = 8

    /// Whether each of its block commands has an NVMe command.
    fileprivate var hasCommands: Bool { ends.keys.allSatisfy { commands[$0] != nil } }
  }

  /// What is to be shown.
  enum Item {
    case activity(Activity)
    /// An NVMe command that belongs to no block command, or to several.
    case command(TracedCommand)
  }

  private var activities: [Int: Activity] = [:]
  private var nextNumber = 0
  /// The activity of each actor that goes on.
  private var current: [ReportedEvent.Actor: Int] = [:]
  /// The activity of each block command.
  private var owners: [UInt64: Int] = [:]
  /// The activity of the command that ended last: what the device's end of it brought about belongs there too.
  private var cause: Int?

  /// Activities kept at most: of more, the oldest are shown as they are.
  private static let limit = 4096

  // MARK: In

  /// Adds what was recorded since the last call.
  /// - Returns: what is complete now, in the order in which it began.
  mutating func add(_ events: [ReportedEvent], _ commands: [TracedCommand]) -> [Item] {
    for event in events { add(event) }
    var items: [Item] = []
    for command in commands where !add(command) { items.append(.command(command)) }
    return items + takeComplete()
  }

  /// Everything that is not complete: at the end.
  mutating func takeRest() -> [Item] {
    defer { self = Timeline() }
    return activities.sorted { $0.key < $1.key }.map { .activity($0.value) }
  }

  private mutating func add(_ event: ReportedEvent) {
    if event.name == "completion" { return end(event) }
    let isFirst = event.name == "held" || (event.name == "request" && !isHeld(event.actor))
    if isFirst { close(event.actor) }
    let number = activity(of: event.actor)
    activities[number]?.events.append(event)
    switch event.name {
    case "command":
      guard let command = event["number"]?.integer(UInt64.self) else { break }
      activities[number]?.open.insert(command)
      owners[command] = number
    case "reply": close(event.actor)
    default: break
    }
  }

  private func isHeld(_ actor: ReportedEvent.Actor) -> Bool {
    current[actor].flatMap { activities[$0]?.events.map(\.name) } == ["held"]
  }

  /// The activity that an event belongs to; a new one where none goes on.
  private mutating func activity(of actor: ReportedEvent.Actor) -> Int {
    if actor == .device, let cause, activities[cause] != nil { return cause }
    if let number = current[actor] { return number }
    nextNumber += 1
    activities[nextNumber] = Activity(actor: actor)
    current[actor] = nextNumber
    return nextNumber
  }

  private mutating func close(_ actor: ReportedEvent.Actor) {
    if let number = current.removeValue(forKey: actor) { activities[number]?.isOver = true }
  }

  private mutating func end(_ event: ReportedEvent) {
    guard let command = event["number"]?.integer(UInt64.self), let owner = owners[command] else {
      cause = nil
      return
    }
    cause = owner
    activities[owner]?.open.remove(command)
    activities[owner]?.ends[command] = event
  }

  private mutating func add(_ command: TracedCommand) -> Bool {
    guard let owner = owners[UInt64(command.number)], activities[owner] != nil else { return false }
    activities[owner]?.commands[UInt64(command.number), default: []].append(command)
    return true
  }

  // MARK: Out

  private mutating func takeComplete() -> [Item] {
    // Jobs and the device have no reply: what they have begun is over with the batch.
    for actor in current.keys {
      if case .request = actor { continue }
      close(actor)
    }
    var complete: [Item] = []
    for number in activities.keys.sorted() {
      guard let activity = activities[number] else { continue }
      let isComplete = activity.isOver && activity.open.isEmpty
      if isComplete, !activity.hasCommands { activities[number]?.patience -= 1 }
      let isShown = isComplete && (activity.hasCommands || activity.patience <= 0)
      guard isShown || activities.count > Self.limit else { continue }
      complete.append(.activity(activity))
      forget(number)
    }
    return complete
  }

  private mutating func forget(_ number: Int) {
    guard let activity = activities.removeValue(forKey: number) else { return }
    for command in activity.open.union(activity.ends.keys) { owners[command] = nil }
    if current[activity.actor] == number { current[activity.actor] = nil }
    if cause == number { cause = nil }
  }
}
