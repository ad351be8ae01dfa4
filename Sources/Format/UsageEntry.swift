/// An entry of the usage table, for one segment. 16 bytes on disk, 256 in a block.
public struct UsageEntry: Sendable, Equatable, BitwiseCopyable {
  public static let size = 16

  public struct Fields: Sendable {
    public let live = Field<UInt32>(0)
    public let state = Field<UInt32>(4)
    public let age = Field<UInt64>(8)

    @inline(__always) init() {}
  }

  /// Where the fields lie in the entry.
  @inline(__always) public static var fields: Fields { Fields() }

  public enum State: UInt8, Sendable, BitwiseCopyable {
    /// May be written.
    case free = 0
    /// Holds, or may hold, blocks that a checkpoint needs.
    case used = 1
  }

  /// Live blocks: those reachable from the checkpoint. Headers do not count.
  public var live: UInt32 = 0
  public var state: State = .free
  /// The first checkpoint that can refer to what was last written into the segment.
  public var age: UInt64 = 0

  public init() {}

  public init(live: UInt32, state: State, age: UInt64) {
    self.live = live
    self.state = state
    self.age = age
  }

  /// Decodes entry `index` (0...255) of a usage block; an unknown state counts as used.
  public init(_ page: Page, index: Int) {
    let at = index * Self.size
    live = page.load(Self.fields.live, of: at)
    state = page.load(Self.fields.state, of: at) == 0 ? .free : .used
    age = page.load(Self.fields.age, of: at)
  }

  /// Encodes entry `index` (0...255) of a usage block.
  public func store(_ page: Page, index: Int) {
    let at = index * Self.size
    page.store(live, Self.fields.live, of: at)
    page.store(UInt32(state.rawValue), Self.fields.state, of: at)
    page.store(age, Self.fields.age, of: at)
  }
}
