import Format

/// A block in memory that belongs to a transaction.
final class PageBuffer {
  let page: Page

  init() {
    page = Page(.allocate(byteCount: Page.size, alignment: 16))
    page.clear()
  }

  convenience init(copying other: Page) {
    self.init()
    page.copy(other.bytes(at: 0, count: Page.size), at: 0)
  }

  deinit { page.base.deallocate() }
}
