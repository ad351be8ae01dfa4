import Glibc

/// Which blocks of a full filesystem are overwritten, one after the other, without end.
public enum CleaningTrace: String, CaseIterable, Sendable {
  /// Every block is as likely as any other.
  case uniform
  /// Nine of ten writes go to a tenth of the blocks, which lie scattered.
  case ninetyTen = "90/10"
  /// The block of rank r is written with a probability proportional to r^-0.99; ranks are scattered.
  case zipf = "zipf 0.99"
  /// Half of the writes run through one half of the blocks in order, the others are random in the other half.
  case sequentialOverRandom = "sequential over random"
  /// A database: a log of 2 % of the blocks, written in circles, takes half of the writes; the rest go to pages
  /// of tables, by zipf.
  case database
  /// A mail spool: messages of 1 to 16 blocks, of which a random one is replaced; an index of 1 % of the blocks
  /// takes a write for each.
  case mailSpool = "mail spool"
  /// A tree of files that is unpacked over itself again and again, while a third of it never changes.
  case overwrittenTree = "overwritten tree"
}

/// The writes of a trace to a number of blocks, as a seed determines them.
struct TracedWrites {
  private let trace: CleaningTrace
  private let count: Int
  private var random: SeededRandom
  /// Blocks in random order: what is rare or frequent does not lie together.
  private var scattered: [Int] = []
  /// For zipf: how likely one of the first ranks is.
  private var cumulative: [Double] = []
  private var position = 0
  /// Blocks still to be written of the current message.
  private var message = 0..<0

  /// - Parameter count: blocks that are written, at least 100.
  init(_ trace: CleaningTrace, count: Int, seed: UInt64) {
    self.trace = trace
    self.count = count
    random = SeededRandom(seed, stream: 0x7472_6163)
    switch trace {
    case .ninetyTen, .zipf: scattered = (0..<count).shuffled(using: &random)
    default: break
    }
    switch trace {
    case .zipf: cumulative = Self.zipf(count)
    case .database: cumulative = Self.zipf(count - count / 50)
    default: break
    }
  }

  private static func zipf(_ count: Int) -> [Double] {
    var sum = 0.0
    let sums = (1...count).map { rank -> Double in
      sum += pow(Double(rank), -0.99)
      return sum
    }
    return sums.map { $0 / sum }
  }

  /// The next block written.
  mutating func next() -> Int {
    switch trace {
    case .uniform: random.below(count)
    case .ninetyTen:
      scattered[random.chance(90) ? random.below(count / 10) : count / 10 + random.below(count - count / 10)]
    case .zipf: scattered[zipfRank()]
    case .sequentialOverRandom:
      random.chance(50) ? advance(below: count / 2) : count / 2 + random.below(count - count / 2)
    case .database: random.chance(50) ? advance(below: count / 50) : count / 50 + zipfRank()
    case .mailSpool: nextOfSpool()
    case .overwrittenTree: count / 3 + advance(below: count - count / 3)
    }
  }

  private mutating func advance(below end: Int) -> Int {
    position = (position + 1) % end
    return position
  }

  private mutating func zipfRank() -> Int {
    let share = Double(random.next() >> 11) / 9_007_199_254_740_992
    var range = 0..<(cumulative.count - 1)
    while !range.isEmpty {
      let middle = (range.lowerBound + range.upperBound) / 2
      range = cumulative[middle] < share ? middle + 1..<range.upperBound : range.lowerBound..<middle
    }
    return range.lowerBound
  }

  private mutating func nextOfSpool() -> Int {
    if let block = message.first {
      message.removeFirst()
      return block
    }
    let index = count / 100
    let start = index + random.below((count - index) / 16) * 16
    message = start..<min(start + random.number(1...16), count)
    return random.below(index)
  }
}
