import CMachine

/// Processors that a thread may run on (sched_setaffinity(2)). Those with numbers of 1,024 and more are left
/// out.
public struct ProcessorSet: Sendable, Equatable {
  private var words: [UInt64]

  /// The largest number of processors that a set can hold.
  public static let limit = Int(CM_PROCESSOR_WORDS) * 64

  /// The processors with these numbers; numbers that are too large are left out.
  public init(_ numbers: [Int]) {
    words = .init(repeating: 0, count: Int(CM_PROCESSOR_WORDS))
    for number in numbers where (0..<Self.limit).contains(number) {
      words[number / 64] |= 1 << UInt64(number % 64)
    }
  }

  /// The processors that the calling thread may run on; the empty set when the system does not say.
  public static var ofThisThread: ProcessorSet {
    var set = ProcessorSet([])
    return cm_get_processors(&set.words) == 0 ? set : ProcessorSet([])
  }

  /// Lets the calling thread run on these processors alone.
  /// - Returns: false when the system refuses.
  @discardableResult
  public func useForThisThread() -> Bool { cm_set_processors(words) == 0 }

  public func contains(_ processor: Int) -> Bool {
    (0..<Self.limit).contains(processor) && words[processor / 64] >> UInt64(processor % 64) & 1 == 1
  }

  /// The processors' numbers, ascending.
  public var numbers: [Int] { (0..<Self.limit).filter(contains) }
}
