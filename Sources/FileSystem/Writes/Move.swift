/// A live data block that the cleaner moves.
struct Move {
  var inode: UInt64
  var generation: UInt32
  var index: UInt64
  var from: UInt64
  var checksum: UInt32
  /// Whether its contents were written long ago (`CleaningPolicy`).
  var isOld: Bool
  /// Its new address; known when the log write is formed.
  var to: UInt64 = 0
  var frame: FrameIndex
}
