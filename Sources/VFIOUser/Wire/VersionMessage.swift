import JSONValue

/// The payload of `version`: the protocol's version, and the sender's limits.
public struct VersionMessage: MessagePayload, Equatable, Sendable {
  /// The supported version.
  public static let major: UInt16 = 0
  public static let minor: UInt16 = 1

  public var major: UInt16
  public var minor: UInt16
  public var capabilities: Capabilities

  /// The limits of the sender of a version. Unknown names are ignored.
  public struct Capabilities: Equatable, Sendable {
    /// The most descriptors of one message.
    public var maximumDescriptors = 1
    /// The most data of one region or DMA access in bytes.
    public var maximumTransfer = 1 << 20

    public init(maximumDescriptors: Int = 1, maximumTransfer: Int = 1 << 20) {
      self.maximumDescriptors = maximumDescriptors
      self.maximumTransfer = maximumTransfer
    }
  }

  public init(
    major: UInt16 = Self.major, minor: UInt16 = Self.minor, capabilities: Capabilities = Capabilities()
  ) {
    self.major = major
    self.minor = minor
    self.capabilities = capabilities
  }

  /// nil when the text is not JSON with NUL at its end, or a limit in it is not a number.
  public init?(decoding bytes: UnsafeRawBufferPointer) {
    var reader = WireReader(bytes)
    guard let major = reader.uint16(), let minor = reader.uint16() else { return nil }
    self.init(major: major, minor: minor)
    guard !reader.rest.isEmpty else { return }
    guard reader.rest.last == 0, let json = try? JSON(reading: reader.rest.dropLast()),
      capabilities.read(json["capabilities"])
    else { return nil }
  }

  public func encode(to writer: inout WireWriter) {
    writer.append(major)
    writer.append(minor)
    let limits = JSON.object([
      ("max_msg_fds", .integer(capabilities.maximumDescriptors)),
      ("max_data_xfer_size", .integer(capabilities.maximumTransfer)),
      ("max_dma_maps", .integer(65_535)), ("pgsizes", .integer(4096)),
    ])
    writer.append(contentsOf: Array(JSON.object([("capabilities", limits)]).line.utf8))
    writer.append(UInt8(0))
  }
}

extension VersionMessage.Capabilities {
  /// Takes the limits from an object, as far as it has them.
  /// - Returns: false when one is present and invalid.
  fileprivate mutating func read(_ object: JSON?) -> Bool {
    guard let object else { return true }
    guard case .object = object else { return false }
    return Self.limit(object["max_msg_fds"], 0...65_535, &maximumDescriptors)
      && Self.limit(object["max_data_xfer_size"], 1...(1 << 40), &maximumTransfer)
  }

  private static func limit(_ value: JSON?, _ range: ClosedRange<Int>, _ target: inout Int) -> Bool {
    guard let value else { return true }
    guard let limit = value.integer(Int.self), range.contains(limit) else { return false }
    target = limit
    return true
  }
}
