import CMachine
import Glibc

/// The counters of a device, stored with its image in an extended attribute, so that they take none of the
/// host's blocks.
///
/// Storing them is best effort: a failure is ignored, and a malformed value counts as absent.
struct ImageCounters {
  /// The attribute. Its value is the numbers in decimal.
  private static let attribute = "user.varve.smart"
  private static let limit = 512

  private let descriptor: Int32

  init(descriptor: Int32) { self.descriptor = descriptor }

  /// The stored counters; nil when there are none.
  func load() -> LifetimeCounters? {
    var text = [UInt8](repeating: 0, count: Self.limit)
    let count = fgetxattr(descriptor, Self.attribute, &text, text.count)
    return count > 0 ? LifetimeCounters(text: String(decoding: text[..<count], as: UTF8.self)) : nil
  }

  /// Replaces the stored counters.
  func keep(_ counters: LifetimeCounters) {
    let text = Array(counters.text.utf8)
    _ = fsetxattr(descriptor, Self.attribute, text, text.count, 0)
  }
}
