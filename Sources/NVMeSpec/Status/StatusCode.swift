/// A status code together with its type: SCT in bits 10:8, SC in bits 7:0 (Base 2.0, section 3.3.3.2.1).
///
/// The codes are named in one file a type: `GenericStatus`, `CommandSpecificStatus`, `MediaStatus`,
/// `PathStatus`.
public struct StatusCode: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
  public var rawValue: UInt16

  @inlinable
  public init(rawValue: UInt16) { self.rawValue = rawValue & 0x7ff }

  @inlinable
  public init(_ type: StatusCodeType, _ code: UInt8) {
    rawValue = UInt16(type.rawValue & 7) &<< 8 | UInt16(code)
  }

  /// SCT.
  @inlinable
  public var type: StatusCodeType { StatusCodeType(rawValue: UInt8(truncatingIfNeeded: rawValue &>> 8)) }
  /// SC.
  @inlinable
  public var code: UInt8 { UInt8(truncatingIfNeeded: rawValue) }

  /// Every code that has a name, in order.
  public static let all: [StatusCode] = descriptions.keys.sorted { $0.rawValue < $1.rawValue }

  private static let descriptions = Dictionary(
    uniqueKeysWithValues: (generic + commandSpecific + media + path).map { ($0.code, $0) })

  /// The code's name in the specification; its numbers where it has none.
  public var name: String { Self.descriptions[self]?.name ?? "\(type) status \(hex(code))" }

  /// What the code means to the sender of the command; empty where it has no name.
  public var text: String { Self.descriptions[self]?.text ?? "" }

  /// The name and the numbers: `LBA Out of Range (0h/80h)`.
  public var description: String {
    let numbers = "\(String(type.rawValue, radix: 16))h/\(hex(code))"
    return "\(name) (\(numbers))"
  }
}

/// A line of the tables of status codes.
struct StatusDescription {
  let code: StatusCode
  let name: String
  let text: String

  init(_ code: StatusCode, _ name: String, _ text: String) {
    self.code = code
    self.name = name
    self.text = text
  }
}

/// SCT: which table a status code is from.
public struct StatusCodeType: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
  public var rawValue: UInt8
  @inlinable
  public init(rawValue: UInt8) { self.rawValue = rawValue & 7 }

  public static let generic = StatusCodeType(rawValue: 0)
  public static let commandSpecific = StatusCodeType(rawValue: 1)
  /// Media and Data Integrity Errors.
  public static let media = StatusCodeType(rawValue: 2)
  public static let path = StatusCodeType(rawValue: 3)
  public static let vendor = StatusCodeType(rawValue: 7)

  public var description: String {
    switch self {
    case .generic: "generic"
    case .commandSpecific: "command specific"
    case .media: "media"
    case .path: "path"
    case .vendor: "vendor specific"
    default: "reserved type \(rawValue)"
    }
  }
}
