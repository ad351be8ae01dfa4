import Glibc
import JSONValue

/// A client's request to a daemon: a name and its parameters.
///
/// A line `{"varve":1,"do":"log","page":2,"length":512}`. The answer is a line `{"varve":1,"result":…}` or
/// `{"varve":1,"error":"…"}`.
public struct ControlRequest {
  /// The protocol's version. A daemon refuses any other.
  public static let version = 1
  /// The longest request in bytes, its newline included.
  public static let lengthLimit = 4096

  /// The name of the request.
  public let name: String
  /// All members of the request.
  public let members: JSON
  /// The number of the client's connection, which a server uses only once.
  public let client: UInt64
  /// The descriptor passed with it, if any.
  public let passed: PassedDescriptor?

  /// Parses a line without its newline.
  /// - Throws: `ControlError` when it is no request of this version.
  init(
    line: some Collection<UInt8>, client: UInt64, passed: PassedDescriptor? = nil
  ) throws(ControlError) {
    do throws(JSONError) { members = try JSON(reading: line) } catch {
      throw ControlError("the request is not JSON: \(error)")
    }
    guard members["varve"]?.integer(Int.self) == Self.version else {
      throw ControlError(
        "the daemon speaks version \(Self.version) of the protocol; use the tools it came with")
    }
    guard let name = members["do"]?.text else { throw ControlError("the request does not say what to do") }
    self.name = name
    self.client = client
    self.passed = passed
  }

  /// A whole number of the request.
  /// - Throws: `ControlError` when it is missing or not in `range`.
  public func integer<Number: FixedWidthInteger & Sendable>(
    _ name: String, in range: ClosedRange<Number>
  ) throws(ControlError) -> Number {
    guard let value = members[name]?.integer(Number.self), range.contains(value) else {
      throw ControlError("'\(name)' is not a number in \(range.lowerBound)...\(range.upperBound)")
    }
    return value
  }

  /// A text of the request.
  /// - Throws: `ControlError` when it is missing.
  public func text(_ name: String) throws(ControlError) -> String {
    guard let text = members[name]?.text else { throw ControlError("'\(name)' is missing") }
    return text
  }

  /// The line of a request.
  static func line(_ name: String, _ members: [(name: String, value: JSON)]) -> String {
    JSON.object([("varve", .integer(version)), ("do", .text(name))] + members).line
  }
}

/// A descriptor that a client has passed; deinit closes it unless it was taken.
public final class PassedDescriptor {
  /// The descriptor; -1 once it was taken.
  public private(set) var value: Int32

  init(_ value: Int32) { self.value = value }

  deinit { if value >= 0 { close(value) } }

  /// Takes the descriptor, which the caller then owns.
  public func take() -> Int32 {
    defer { value = -1 }
    return value
  }
}

/// The answer to one request, which may be given at once or later. Only the first answer is sent.
public final class ControlReply {
  private var send: ((String) -> Void)?

  init(_ send: @escaping (String) -> Void) { self.send = send }

  deinit { fail("the daemon has no answer") }

  /// Answers with a result.
  public func succeed(_ result: JSON) { finish(("result", result)) }

  /// Answers with an error.
  public func fail(_ reason: String) { finish(("error", .text(reason))) }

  private func finish(_ member: (name: String, value: JSON)) {
    send?(JSON.object([("varve", .integer(ControlRequest.version)), member]).line)
    send = nil
  }
}
