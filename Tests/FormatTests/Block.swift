import Format

/// A block of memory for a page.
///
/// The memory is never freed: a page does not keep its block alive, and tests use pages of blocks that they
/// do not hold.
final class Block {
  let page: Page

  init() {
    page = Page(.allocate(byteCount: Page.size, alignment: Page.size))
    page.clear()
  }

  convenience init(_ bytes: [UInt8]) {
    self.init()
    bytes.withUnsafeBytes { page.copy($0, at: 0) }
  }

  var bytes: [UInt8] {
    get { Array(page.bytes(at: 0, count: Page.size)) }
    set { newValue.withUnsafeBytes { page.copy($0, at: 0) } }
  }
}

extension Array where Element == UInt8 {
  /// Calls `body` with the bytes in memory.
  func raw<T>(_ body: (UnsafeRawBufferPointer) throws -> T) rethrows -> T { try withUnsafeBytes(body) }
}
