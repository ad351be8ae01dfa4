/// Physical region pages, the addresses of a command's data (Base 2.0, section 4.1.1).
///
/// PRP1 is the address of the first byte, anywhere in a page (a multiple of 4). All others are page
/// boundaries: PRP2 is the address of the second page when that is the last, otherwise that of a list of
/// 8-byte entries. When a list page has no room for all, its last entry points to the next list page.
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
    // In each list page but the last, the last entry points to the next page.
    return max(1, (entries + perPage - 3) / (perPage - 1))
  }
}
