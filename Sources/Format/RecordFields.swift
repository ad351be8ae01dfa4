/// The header of every log record.
public enum RecordHeader {
  /// Bytes of it, some of them reserved.
  public static let size = 8

  public struct Fields: Sendable {
    public let length = Field<UInt32>(0)
    public let kind = Field<UInt8>(4)
    public let flags = Field<UInt8>(5, .flags)

    @inline(__always) init() {}
  }

  /// Where the fields lie in the record.
  @inline(__always) public static var fields: Fields { Fields() }
}

/// Where the fields of log records lie, from the beginning of the record. Names, targets and values follow
/// the last field, each with its length before it.
enum RecordFields {
  @inline(__always) static var create: Create { Create() }
  @inline(__always) static var name: Name { Name() }
  @inline(__always) static var rename: Rename { Rename() }
  @inline(__always) static var setAttributes: SetAttributes { SetAttributes() }
  @inline(__always) static var writeInline: WriteInline { WriteInline() }
  @inline(__always) static var written: Written { Written() }
  @inline(__always) static var attribute: Attribute { Attribute() }
  @inline(__always) static var allocate: Allocate { Allocate() }
  @inline(__always) static var dropName: DropName { DropName() }

  struct Create: Sendable {
    let parent = Field<UInt64>(8, .nodeID)
    let node = Field<UInt64>(16, .nodeID)
    let mode = Field<UInt32>(24)
    let uid = Field<UInt32>(28)
    let gid = Field<UInt32>(32)
    let device = Field<UInt32>(36)
    let time = Field<Int64>(40, .time)

    @inline(__always) init() {}
  }

  /// Of link and unlink.
  struct Name: Sendable {
    let parent = Field<UInt64>(8, .nodeID)
    let node = Field<UInt64>(16, .nodeID)
    let links = Field<UInt32>(24)
    let time = Field<Int64>(28, .time)

    @inline(__always) init() {}
  }

  struct Rename: Sendable {
    let parent = Field<UInt64>(8, .nodeID)
    let newParent = Field<UInt64>(16, .nodeID)
    let node = Field<UInt64>(24, .nodeID)
    let other = Field<UInt64>(32, .nodeID)
    let time = Field<Int64>(40, .time)

    @inline(__always) init() {}
  }

  struct SetAttributes: Sendable {
    let node = Field<UInt64>(8, .nodeID)
    let mode = Field<UInt32>(16)
    let uid = Field<UInt32>(20)
    let gid = Field<UInt32>(24)
    let size = Field<UInt64>(28)
    let accessTime = Field<Int64>(36, .time)
    let modificationTime = Field<Int64>(44, .time)
    let changeTime = Field<Int64>(52, .time)

    @inline(__always) init() {}
  }

  struct WriteInline: Sendable {
    let node = Field<UInt64>(8, .nodeID)
    let offset = Field<UInt32>(16)
    let time = Field<Int64>(20, .time)

    @inline(__always) init() {}
  }

  /// The last field may be missing.
  struct Written: Sendable {
    let node = Field<UInt64>(8, .nodeID)
    let size = Field<UInt64>(16)
    let modificationTime = Field<Int64>(24, .time)
    let changeTime = Field<Int64>(32, .time)

    @inline(__always) init() {}
  }

  struct Attribute: Sendable {
    let node = Field<UInt64>(8, .nodeID)
    let time = Field<Int64>(16, .time)

    @inline(__always) init() {}
  }

  struct Allocate: Sendable {
    let node = Field<UInt64>(8, .nodeID)
    let mode = Field<UInt32>(16, .flags)
    let offset = Field<UInt64>(20)
    let length = Field<UInt64>(28)
    let time = Field<Int64>(36, .time)

    @inline(__always) init() {}
  }

  struct DropName: Sendable {
    let parent = Field<UInt64>(8, .nodeID)
    let node = Field<UInt64>(16, .nodeID)
    let time = Field<Int64>(24, .time)

    @inline(__always) init() {}
  }
}
