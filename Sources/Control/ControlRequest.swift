import Glibc
import JSONValue

/// What a client asks of a daemon: a name, and what the name needs to be told.
///
/// A line `{"varve":1,"do":"log","page":2,"length":512}`. The answer is a line `{"varve":1,"result":…}` or
/// `{"varve":1,"error":"…"}`.
public struct ControlRequest {
  /// The protocol's version. A daemon refuses any other.
  public static let version = 1
  /// The longest request in bytes, its end included.
  public static let lengthLimit = 4096

  /// What is asked for.
  public let name: String
  /// All members of the request.
  public let members: JSON
  /// Who asks: no two connections of a server's life have the same number.
  public let client: UInt64
  /// The descriptor that came with it, if one did.
  public let passed: PassedDescriptor?

  /// Reads a line without its end.
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

  /// A request as a client sends it.
  static func line(_ name: String, _ members: [(name: String, value: JSON)]) -> String {
    JSON.object([("varve", .integer(version)), ("do", .text(name))] + members).line
  }
}

/// A descriptor that a client has passed, closed unless somebody takes it.
public final class PassedDescriptor {
  /// The descriptor; -1 once it was taken.
  public private(set) var value: Int32

  init(_ value: Int32) { self.value = value }

  deinit { if value >= 0 { close(value) } }

  /// Gives the descriptor to the caller.
  public func take() -> Int32 {
    defer { value = -1 }
    return value
  }
}

/// The place for one request's answer, which may be given at once or later. The first answer counts.
public final class ControlReply {
  private var send: ((String) -> Void)?

  init(_ send: @escaping (String) -> Void) { self.send = send }

  deinit { fail("the daemon has no answer") }

  /// Answers.
  public func succeed(_ result: JSON) { finish(("result", result)) }

  /// Says why there is no answer.
  public func fail(_ reason: String) { finish(("error", .text(reason))) }

  private func finish(_ member: (name: String, value: JSON)) {
    send?(JSON.object([("varve", .integer(ControlRequest.version)), member]).line)
    send = nil
  }
}
