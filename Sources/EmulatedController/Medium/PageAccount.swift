/// The page counts of a mapped image.
struct PageAccount {
  /// How far ahead of a writer pages are allocated, and how much at once, in bytes.
  static let ahead = 16 << 20
  static let populatedAtOnce = 2 << 20
  private static let mostKept = 512 << 20

  /// How many pages that hold zeros the file has.
  var kept = 0
  /// The limit of `kept`: beyond it, deallocated pages are punched out.
  let limit: Int
  /// Whether the file had all its pages when it was opened: a preallocated image keeps them.
  let keepsAll: Bool
  /// Pages that a worker thread is allocating; nil for none.
  var populating: Range<Int>?
  /// Whether some of these were punched out meanwhile.
  var isPopulatingForNothing = false
  var streams = WriteStreams()

  /// - Parameters:
  ///   - size: the image's size in bytes.
  ///   - isFull: whether the file has all its pages.
  init(size: Int, isFull: Bool) {
    keepsAll = isFull
    limit = isFull ? .max : min(size / 8, Self.mostKept) / MappedMedium.pageSize
  }
}
