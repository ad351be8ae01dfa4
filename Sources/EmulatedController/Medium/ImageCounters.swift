import CMachine
import Glibc

/// The counters of a device, kept with its image in an extended attribute: outside the blocks, which are the
/// host's.
///
/// They are worth no failure: what cannot be kept is forgotten, and what makes no sense is as if it were not
/// there.
struct ImageCounters {
  /// The attribute. Its value is the numbers in decimal.
  private static let attribute = "user.varve.smart"
  private static let limit = 512

  private let descriptor: Int32

  init(descriptor: Int32) { self.descriptor = descriptor }

  /// What was kept; nil when nothing was.
  func load() -> LifetimeCounters? {
    var text = [UInt8](repeating: 0, count: Self.limit)
    let count = fgetxattr(descriptor, Self.attribute, &text, text.count)
    return count > 0 ? LifetimeCounters(text: String(decoding: text[..<count], as: UTF8.self)) : nil
  }

  /// Keeps them in place of what was kept.
  func keep(_ counters: LifetimeCounters) {
    let text = Array(counters.text.utf8)
    _ = fsetxattr(descriptor, Self.attribute, text, text.count, 0)
  }
}
