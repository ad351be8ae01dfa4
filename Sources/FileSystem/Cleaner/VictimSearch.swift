import Format

/// The search for segments worth cleaning: it looks at a few segments a step, and remembers the best it has
/// seen.
struct VictimSearch {
  private struct Candidate {
    var segment: UInt32
    var score: Double
  }

  /// Segments that one step looks at, and candidates kept.
  private static let segmentsPerStep = 4096
  private static let candidatesKept = 32

  /// Whether those with the least in them are looked for, rather than those that promise the most for the
  /// effort.
  let isGreedy: Bool
  /// Whether all segments have been looked at.
  private(set) var isOver = false
  /// The best last.
  private var candidates: [Candidate] = []
  private var position = 0

  init(isGreedy: Bool) { self.isGreedy = isGreedy }

  /// The best candidate, which is taken out.
  mutating func next() -> UInt32? { candidates.popLast()?.segment }

  /// Looks at some more of `count` segments.
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
