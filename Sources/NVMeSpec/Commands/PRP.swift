/// Physical region pages: how a command names its data (Base 2.0, section 4.1.1).
///
/// PRP1 is the first byte, anywhere in a page (a multiple of 4). What follows begins at page boundaries: PRP2
/// is the second page when that is the last, otherwise it leads to a list of 8-byte entries, whose last entry
/// in a page leads to the next list page when more pages follow than the list page has room for.
public enum PRP {
  /// The size of a list entry in bytes.
  public static let entrySize = 8

  /// How many entries a list page of `pageSize` bytes holds.
  @inlinable
  public static func entries(pageSize: Int) -> Int { pageSize / entrySize }

  /// How many memory pages `length` bytes touch that start `offset` bytes into a page.
  @inlinable
  public static func pages(offset: Int, length: Int, pageSize: Int) -> Int {
    (offset + length + pageSize - 1) / pageSize
  }

  /// How many list pages `entries` entries need, the first starting at a page boundary.
  @inlinable
  public static func listPages(entries: Int, pageSize: Int) -> Int {
    guard entries > 0 else { return 0 }
    let perPage = pageSize / entrySize
    // Each page but the last gives its last entry to the pointer to the next.
    return max(1, (entries + perPage - 3) / (perPage - 1))
  }
}
