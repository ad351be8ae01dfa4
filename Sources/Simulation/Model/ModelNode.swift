import FileProtocol

/// A file, directory, symlink or special file of the model.
public final class ModelNode {
  /// The attributes of a node that operations set in order, all or nothing.
  struct State {
    var mode: UInt32 = 0
    var uid: UInt32 = 0
    var gid: UInt32 = 0
    var links: UInt32 = 1
    var device: UInt32 = 0
    var target: [UInt8] = []
    var attributes: [String: [UInt8]] = [:]
    /// For directories, symlinks and special files; a file's is in its history.
    var modified: Moment
    /// Of a file, unless it was written since.
    var changed: Moment
    /// Unless it was read since.
    var accessed: Moment
  }

  /// Its number in the model.
  public let id: Int
  /// The client whose operations its timeline counts.
  let client: Int
  /// Its node id in the filesystem; 0 until a reply has given it.
  public internal(set) var nodeID: UInt64 = 0
  /// Whether several clients make names in this directory; then its times and link count are not checked.
  public internal(set) var isShared = false
  /// The handle it is open under.
  public internal(set) var handle: UInt64?
  /// How many writes have begun.
  var writeCount = 0
  /// When each write that is not answered yet began.
  var openWrites: Set<UInt64> = []
  /// When it was read; each read may have updated its access time.
  var readings: [Moment] = []
  /// When a change of it failed half-way, which may have updated its change time.
  var halfChanges: [Moment] = []
  /// It was made without a name, and has had none since.
  var mayBeNamed = false
  /// A write failed in a way that leaves its contents undetermined.
  var isUncertain = false

  var timeline = Timeline<State>()
  var history: FileHistory?
  /// The names of a directory, now.
  public internal(set) var entries: [String: Int] = [:]
  /// The names it has, now.
  public internal(set) var names: [World.Edge] = []

  init(id: Int, client: Int) {
    self.id = id
    self.client = client
  }

  var state: State? { timeline.latest }
  public var mode: UInt32 { state?.mode ?? 0 }
  public var links: UInt32 { state?.links ?? 0 }
  public var type: UInt32 { mode & FileType.mask }
  public var isDirectory: Bool { type == FileType.directory }
  public var isFile: Bool { type == FileType.regular }
  /// Whether it has a name, is the root, or is open.
  public var isAlive: Bool { id == 0 || !names.isEmpty || (handle != nil && state != nil) }
  /// A file's size in bytes.
  public var size: UInt64 { history?.size ?? 0 }
  /// The names of its extended attributes, sorted.
  public var attributeNames: [String] { state?.attributes.keys.sorted() ?? [] }

  /// The tick up to which writes were answered when something began at `tick`.
  func writtenThrough(_ tick: UInt64) -> UInt64 {
    openWrites.min().map { min($0 - 1, tick) } ?? tick
  }

  /// What is wrong with attributes found after `position` operations; nil when nothing is.
  func fault(_ found: Attributes, position: Int) -> String? {
    guard let state = timeline.value(at: position) else { return "exists" }
    if found.mode != state.mode {
      return "has mode \(String(found.mode, radix: 8)), not \(String(state.mode, radix: 8))"
    }
    if found.uid != state.uid || found.gid != state.gid {
      return "belongs to \(found.uid):\(found.gid), not \(state.uid):\(state.gid)"
    }
    if found.device != state.device { return "is device \(found.device), not \(state.device)" }
    if isShared { return nil }
    if found.links != state.links { return "has \(found.links) links, not \(state.links)" }
    if history == nil, !state.modified.contains(found.modificationTime) {
      return "was modified at \(found.modificationTime), "
        + "not within \(state.modified.earliest)-\(state.modified.latest)"
    }
    if !state.changed.contains(found.changeTime), !wasWritten(at: found.changeTime, since: state.changed),
      !halfChanges.contains(where: { $0.contains(found.changeTime) })
    {
      return "was changed at \(found.changeTime), "
        + "not within \(state.changed.earliest)-\(state.changed.latest)"
    }
    if !state.accessed.contains(found.accessTime),
      !readings.contains(where: { $0.contains(found.accessTime) })
    {
      return "was read at \(found.accessTime), not within "
        + "\(state.accessed.earliest)-\(state.accessed.latest), nor when it was read"
    }
    if state.mode & FileType.mask == FileType.symlink, found.size != UInt64(state.target.count) {
      return "has size \(found.size), not \(state.target.count)"
    }
    return nil
  }

  /// Whether a write at that time, not before `state`, is known.
  private func wasWritten(at time: Int64, since state: Moment) -> Bool {
    guard let history, time >= state.earliest else { return false }
    return history.sizes.contains { $0.position == nil && $0.modified.contains(time) }
  }
}
