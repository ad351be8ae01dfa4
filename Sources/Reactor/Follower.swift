import SystemFiles

/// Moves an event loop's thread to the processor of the process whose requests it answers.
///
/// Where a wake-up across processors is dear, a caller who waits for each answer gets most of the time of a
/// round trip back when both run on one processor. That holds only while requests come one at a time and from
/// one process: with more, the thread may use every allowed processor again. It may too where the kernel wakes the
/// process on another processor, because that one is idle and this one answers; then following only costs. Each
/// such release doubles the number of lone requests after which the thread follows the next time.
///
///     free ── `streak` reaches `patience` ──▶ following ── `disturbance` or `strays` reach their limits ──▶ free
public struct Follower {
  /// The number of the processor that a process last ran on; nil where that is not known (yet).
  public typealias Locate = (_ process: UInt32) -> Int?
  /// Lets the loop's thread run on these processors alone; false when the system refuses.
  public typealias Move = (ProcessorSet) -> Bool

  /// Counts since it was made.
  public struct Counters: Sendable, Equatable {
    /// How often the thread followed a process to its processor, and how often it was released again.
    public var moves: UInt64 = 0
    public var releases: UInt64 = 0

    public init() {}
  }

  /// How many lone requests of one process in a row the thread follows after, at first and at most.
  static let leastPatience = 16
  static let mostPatience = 1 << 14
  /// After this many lone requests the process is looked for again.
  static let interval = 16
  /// What a request that came with others, or from another process, adds to the disturbance, and the disturbance
  /// at which the thread is released. A lone request takes 1 away.
  static let disturbancePerRequest = 8
  static let mostDisturbance = 32
  /// What a look-up that finds the process elsewhere adds to its strays, and the strays at which the thread is
  /// released. A look-up that finds it in place takes 1 away.
  static let straysPerMove = 4
  static let mostStrays = 16

  public private(set) var counters = Counters()
  /// The processor that the thread runs on alone; nil while it may run on all that are allowed.
  public private(set) var processor: Int?

  private let allowed: ProcessorSet
  private let locate: Locate
  private let move: Move
  private var streak = 0
  private var requestsSinceLook = Self.interval
  private var patience = Self.leastPatience
  private var disturbance = 0
  private var strays = 0

  /// - Parameter allowed: the processors that the thread may use.
  public init(allowed: ProcessorSet, locate: @escaping Locate, move: @escaping Move) {
    self.allowed = allowed
    self.locate = locate
    self.move = move
  }

  /// Whether the thread shares its caller's processor, so that polling would keep the caller from running.
  var isFollowing: Bool { processor != nil }

  /// Takes note of requests.
  /// - Parameters:
  ///   - lone: how many came alone, each from the same process as the one before.
  ///   - crowded: how many others there were.
  ///   - process: the process of the last of them; 0 where the kernel does not say.
  mutating func note(lone: Int, crowded: Int, from process: UInt32) {
    streak = crowded == 0 ? streak + lone : 0
    let added = min(crowded, Self.mostDisturbance) * Self.disturbancePerRequest
    disturbance = min(max(0, disturbance - lone) + added, Self.mostDisturbance)
    if isFollowing && disturbance >= Self.mostDisturbance { return release() }
    guard streak >= patience else { return }
    requestsSinceLook += lone
    if requestsSinceLook >= Self.interval { look(for: process) }
  }

  private mutating func look(for process: UInt32) {
    requestsSinceLook = 0
    guard let found = locate(process) else { return }
    guard found != processor else { return stay() }
    if isFollowing { strays += Self.straysPerMove }
    guard strays < Self.mostStrays, allowed.contains(found), move(ProcessorSet([found])) else {
      return release()
    }
    processor = found
    disturbance = 0
    counters.moves += 1
  }

  /// The process is where it was followed to: following pays.
  private mutating func stay() {
    strays = max(0, strays - 1)
    patience = max(Self.leastPatience, patience - Self.interval)
  }

  private mutating func release() {
    guard isFollowing else { return }
    processor = nil
    disturbance = 0
    strays = 0
    streak = 0
    patience = min(patience * 2, Self.mostPatience)
    counters.releases += 1
    _ = move(allowed)
  }
}
