/// The errors of a filesystem since its last full check, in a block of its own. SPEC, "Error record".
public struct ErrorRecord: Sendable, Equatable {
  public static let magic: UInt64 = 0x3152_4545_5652_4156  // "VARVEER1"

  /// The kinds of errors.
  public enum Kind: UInt32, Sendable, CaseIterable {
    /// A block did not match its checksum, or held impossible values.
    case checksum
    /// A block could not be read.
    case read
    /// A block could not be written, or a flush failed.
    case write
    /// The filesystem could not be mounted.
    case mount
  }

  /// One occurrence of an error.
  public struct Event: Sendable, Equatable {
    public var kind: Kind
    /// Nanoseconds since 1970.
    public var time: Int64
    /// The 4 KiB block; 0 where it is not known.
    public var block: UInt64
    /// The inode's number; 0 where there is none, or it is not known.
    public var inode: UInt64
    /// The errno; 0 where there was none.
    public var code: Int32

    public struct Fields: Sendable {
      public let time = Field<Int64>(0, .time)
      public let block = Field<UInt64>(8, .block)
      public let inode = Field<UInt64>(16, .inode)
      public let code = Field<Int32>(24)
      public let kind = Field<UInt32>(28)

      @inline(__always) init() {}
    }

    /// Where the fields lie in the event.
    @inline(__always) public static var fields: Fields { Fields() }

    public init(_ kind: Kind, time: Int64, block: UInt64 = 0, inode: UInt64 = 0, code: Int32 = 0) {
      self.kind = kind
      self.time = time
      self.block = block
      self.inode = inode
      self.code = code
    }
  }

  /// How often each kind occurred, by `Kind.rawValue`.
  private var counts = [UInt64](repeating: 0, count: Kind.allCases.count)
  public private(set) var first: Event?
  public private(set) var last: Event?

  /// A record without errors.
  public init() {}

  public func count(of kind: Kind) -> UInt64 { counts[Int(kind.rawValue)] }
  /// All errors.
  public var total: UInt64 { counts.reduce(0) { $0.addingReportingOverflow($1).partialValue } }
  public var isEmpty: Bool { first == nil }

  public mutating func add(_ event: Event) {
    counts[Int(event.kind.rawValue)] &+= 1
    if first == nil { first = event }
    last = event
  }

  public struct Fields: Sendable {
    public let magic = Field<UInt64>(0, .magic)
    public let counts = ByteField(8, size: 32)
    public let first = ByteField(40, size: 32)
    public let last = ByteField(72, size: 32)
    public let checksum = Field<UInt32>(4092, .checksum)

    @inline(__always) init() {}
  }

  /// Where the fields lie in the block.
  @inline(__always) public static var fields: Fields { Fields() }

  /// Decodes a block; a record without errors where there is none.
  public init(decoding page: Page, checksum: Checksum) {
    guard page.load(Self.fields.magic) == Self.magic,
      page.load(Self.fields.checksum)
        == checksum.of(page.bytes(at: 0, count: Page.size), except: Self.fields.checksum.offset),
      let first = Event(page, at: Self.fields.first.offset),
      let last = Event(page, at: Self.fields.last.offset)
    else { return }
    for kind in counts.indices { counts[kind] = page.load(at: Self.fields.counts.offset + 8 * kind) }
    self.first = first
    self.last = last
  }

  /// Writes the whole block; zeros for a record without errors.
  public func encode(into page: Page, checksum: Checksum) {
    page.clear()
    guard let first, let last else { return }
    page.store(Self.magic, Self.fields.magic)
    for kind in counts.indices { page.store(counts[kind], at: Self.fields.counts.offset + 8 * kind) }
    first.store(page, at: Self.fields.first.offset)
    last.store(page, at: Self.fields.last.offset)
    page.store(
      checksum.of(page.bytes(at: 0, count: Page.size), except: Self.fields.checksum.offset),
      Self.fields.checksum)
  }
}

extension ErrorRecord.Event {
  fileprivate init?(_ page: Page, at offset: Int) {
    guard let kind = ErrorRecord.Kind(rawValue: page.load(Self.fields.kind, of: offset)) else { return nil }
    self.init(
      kind, time: page.load(Self.fields.time, of: offset), block: page.load(Self.fields.block, of: offset),
      inode: page.load(Self.fields.inode, of: offset), code: page.load(Self.fields.code, of: offset))
  }

  fileprivate func store(_ page: Page, at offset: Int) {
    page.store(time, Self.fields.time, of: offset)
    page.store(block, Self.fields.block, of: offset)
    page.store(inode, Self.fields.inode, of: offset)
    page.store(code, Self.fields.code, of: offset)
    page.store(kind.rawValue, Self.fields.kind, of: offset)
  }
}
