/// Descriptors that came with a message: whatever nobody takes is closed, without waiting for anybody
/// (``PassedFile``).
///
/// They belong to one thread at a time, with their message.
public final class PassedDescriptors: @unchecked Sendable {
  /// What was not taken, in order.
  public private(set) var numbers: [Int32] = []

  public init() {}

  deinit { PassedFile.close(numbers) }

  /// How many were not taken.
  public var count: Int { numbers.count }

  /// The next descriptor, which stays with the message; nil when there is none.
  public var first: Int32? { numbers.first }

  /// The next descriptor, which becomes the caller's own; nil when there is none.
  public func take() -> Int32? { numbers.isEmpty ? nil : numbers.removeFirst() }

  func append(_ number: Int32) { numbers.append(number) }
}
