import Format

/// The search for segments worth cleaning: each step scores some segments, and the best seen so far are kept.
struct VictimSearch {
  private struct Candidate {
    var segment: UInt32
    var score: Double
  }

  /// Segments scored in one step, and candidates kept, at most.
  private static let segmentsPerStep = 4096
  private static let candidatesKept = 32

  /// Whether it looks for the segments with the fewest live blocks, rather than by cost and benefit.
  let isGreedy: Bool
  /// Whether all segments have been scored.
  private(set) var isOver = false
  /// Sorted by score, the best last.
  private var candidates: [Candidate] = []
  private var position = 0

  init(isGreedy: Bool) { self.isGreedy = isGreedy }

  /// Removes the best candidate and returns it.
  mutating func next() -> UInt32? { candidates.popLast()?.segment }

  /// Scores some more of `count` segments.
  /// - Parameter score: how good a victim a segment is; nil when it must not be one.
  mutating func step(count: Int, score: (Int) -> Double?) {
    let end = min(position + Self.segmentsPerStep, count)
    for segment in position..<end {
      guard let value = score(segment) else { continue }
      if candidates.count == Self.candidatesKept {
        guard value > candidates[0].score else { continue }
        candidates.removeFirst()
      }
      let place = candidates.firstIndex { $0.score >= value } ?? candidates.count
      candidates.insert(Candidate(segment: UInt32(truncatingIfNeeded: segment), score: value), at: place)
    }
    position = end
    isOver = end == count
  }
}
