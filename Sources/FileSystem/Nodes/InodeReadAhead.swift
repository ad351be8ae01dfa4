/// Reading inodes together whose numbers are close: a walk over cold files asks for one after the other, and
/// files made together have numbers, and places on the device, side by side.
///
/// Owns where inodes were missing lately. The first misses among the 256 inodes of a table block read one inode
/// each; from then on a miss there reads its neighbours too, at the same time. So inodes wanted here and there
/// among many more are read alone: their neighbours would not be used before they are evicted.
struct InodeReadAhead {
  private struct Leaf: BitwiseCopyable {
    var index = UInt64.max
    var misses = 0
  }

  /// The table blocks with a miss lately, each at the place of its index modulo the count.
  private var recent = [Leaf](repeating: Leaf(), count: 256)
  /// Misses in a table block that read one inode each.
  private static let loneMisses = 3
  /// Inodes read at the same time, from a multiple of this number on.
  private static let inodesAtATime: UInt64 = 32

  /// The numbers to be read with a missing inode.
  mutating func missed(_ number: UInt64) -> Range<UInt64> {
    let leaf = number >> 8
    let place = Int(leaf & UInt64(recent.count - 1))
    if recent[place].index != leaf { recent[place] = Leaf(index: leaf) }
    recent[place].misses += 1
    guard recent[place].misses > Self.loneMisses else { return number..<number + 1 }
    let first = number / Self.inodesAtATime * Self.inodesAtATime
    return first..<first + Self.inodesAtATime
  }
}
