/// Descriptors received with a message: those that the receiver does not take are closed, without blocking
/// (``PassedFile``).
///
/// They belong to one thread at a time, with their message.
public final class PassedDescriptors: @unchecked Sendable {
  /// Descriptors that were not taken, in order.
  public private(set) var numbers: [Int32] = []

  public init() {}

  deinit { PassedFile.close(numbers) }

  /// How many were not taken.
  public var count: Int { numbers.count }

  /// The next descriptor, which the message still owns; nil when there is none.
  public var first: Int32? { numbers.first }

  /// Takes the next descriptor, which the caller then owns; nil when there is none.
  public func take() -> Int32? { numbers.isEmpty ? nil : numbers.removeFirst() }

  func append(_ number: Int32) { numbers.append(number) }
}
