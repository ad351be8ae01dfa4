/// Where the last few writes ended, to tell sequential from random writers.
struct WriteStreams {
  private var ends: (Int, Int, Int, Int) = (-1, -1, -1, -1)
  private var oldest = 0

  /// Adds a write of a range to the stream that it continues, or starts a new stream.
  /// - Returns: whether it continues one of the last writes.
  @inline(__always)
  mutating func extend(_ range: Range<Int>) -> Bool {
    if ends.0 == range.lowerBound {
      ends.0 = range.upperBound
    } else if ends.1 == range.lowerBound {
      ends.1 = range.upperBound
    } else if ends.2 == range.lowerBound {
      ends.2 = range.upperBound
    } else if ends.3 == range.lowerBound {
      ends.3 = range.upperBound
    } else {
      replaceOldest(range.upperBound)
      return false
    }
    return true
  }

  private mutating func replaceOldest(_ end: Int) {
    switch oldest {
    case 0: ends.0 = end
    case 1: ends.1 = end
    case 2: ends.2 = end
    default: ends.3 = end
    }
    oldest = (oldest + 1) & 3
  }
}
