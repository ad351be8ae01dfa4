/// What a mapped image knows of its pages beside their maps.
struct PageAccount {
  /// How far ahead of a writer pages are taken, and how many of them at once, in bytes.
  static let ahead = 16 << 20
  static let populatedAtOnce = 2 << 20
  private static let mostKept = 512 << 20

  /// Pages the file has that hold zeros.
  var kept = 0
  /// How many of these it may have: beyond that, what is deallocated is given back.
  let limit: Int
  /// The file had all its pages from the beginning: whoever made it so wants it to keep them.
  let keepsAll: Bool
  /// Pages a thread is taking; nil for none.
  var populating: Range<Int>?
  /// Some of them were given back meanwhile.
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
