import Glibc

/// Descriptors that came with a message: whatever nobody takes is closed.
///
/// They belong to one thread at a time, with their message.
public final class PassedDescriptors: @unchecked Sendable {
  /// What was not taken, in order.
  public private(set) var numbers: [Int32] = []

  public init() {}

  deinit { for number in numbers { close(number) } }

  /// How many were not taken.
  public var count: Int { numbers.count }

  /// The next descriptor, which becomes the caller's own; nil when there is none.
  public func take() -> Int32? { numbers.isEmpty ? nil : numbers.removeFirst() }

  func append(_ number: Int32) { numbers.append(number) }
}
