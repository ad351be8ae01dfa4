/// What a mapped image knows of its pages beside their maps.
struct PageAccount {
  /// How far ahead of a writer pages are taken, in bytes.
  static let ahead = 8 << 20
  private static let mostKept = 512 << 20

  /// Pages the file has that hold nothing.
  var kept = 0
  /// How many of these it may have: beyond that, what is deallocated is given back.
  let limit: Int
  /// Pages a thread is taking; nil for none.
  var populating: Range<Int>?
  /// Some of them were given back meanwhile.
  var isPopulatingForNothing = false
  var streams = WriteStreams()

  /// - Parameter size: the image's size in bytes.
  init(size: Int) { limit = min(size / 8, Self.mostKept) / MappedMedium.pageSize }
}
