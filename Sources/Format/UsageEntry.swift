/// What a segment holds. 16 bytes on disk, 256 in a block.
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
    /// Holds, or may hold, something a checkpoint needs.
    case used = 1
  }

  /// Blocks that the checkpoint can reach. Headers do not count.
  public var live: UInt32 = 0
  public var state: State = .free
  /// The checkpoint in whose time the segment was last written.
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
