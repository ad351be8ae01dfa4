/// What went wrong with a filesystem since it was last checked in full, in a block of its own. SPEC, "Error record".
public struct ErrorRecord: Sendable, Equatable {
  public static let magic: UInt64 = 0x3152_4545_5652_4156  // "VARVEER1"

  /// What went wrong.
  public enum Kind: UInt32, Sendable, CaseIterable {
    /// A block did not match its checksum, or held what it must not.
    case checksum
    /// A block could not be read.
    case read
    /// A block could not be written, or a flush failed.
    case write
    /// The filesystem could not be mounted.
    case mount
  }

  /// One time that something went wrong.
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

  private enum Field {
    static let counts = 8
    static let first = 40
    static let last = 72
    static let checksum = 4092
  }

  /// Decodes a block; a record without errors where there is none.
  public init(decoding page: Page, checksum: Checksum) {
    guard page.load(UInt64.self, at: 0) == Self.magic,
      page.load(UInt32.self, at: Field.checksum)
        == checksum.of(page.bytes(at: 0, count: Page.size), except: Field.checksum),
      let first = Event(page, at: Field.first), let last = Event(page, at: Field.last)
    else { return }
    for kind in counts.indices { counts[kind] = page.load(at: Field.counts + 8 * kind) }
    self.first = first
    self.last = last
  }

  /// Writes the whole block; zeros for a record without errors.
  public func encode(into page: Page, checksum: Checksum) {
    page.clear()
    guard let first, let last else { return }
    page.store(Self.magic, at: 0)
    for kind in counts.indices { page.store(counts[kind], at: Field.counts + 8 * kind) }
    first.store(page, at: Field.first)
    last.store(page, at: Field.last)
    page.store(
      checksum.of(page.bytes(at: 0, count: Page.size), except: Field.checksum), at: Field.checksum)
  }
}

extension ErrorRecord.Event {
  fileprivate init?(_ page: Page, at offset: Int) {
    guard let kind = ErrorRecord.Kind(rawValue: page.load(at: offset + 28)) else { return nil }
    self.init(
      kind, time: page.load(at: offset), block: page.load(at: offset + 8), inode: page.load(at: offset + 16),
      code: page.load(at: offset + 24))
  }

  fileprivate func store(_ page: Page, at offset: Int) {
    page.store(time, at: offset)
    page.store(block, at: offset + 8)
    page.store(inode, at: offset + 16)
    page.store(code, at: offset + 24)
    page.store(kind.rawValue, at: offset + 28)
  }
}
