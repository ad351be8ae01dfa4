import ArgumentParser
import Block
import BlockProtocol

/// In which order blocks are asked for.
enum AccessPattern: String, ExpressibleByArgument, CaseIterable {
  case random, sequential
}

/// What a measurement does.
struct BenchPlan {
  /// `read` or `write`.
  var operation: BlockCommand.Operation
  var pattern: AccessPattern
  /// 4 KiB blocks of a command.
  var blocksPerCommand: Int
  /// Commands under way at once.
  var depth: Int
  /// How long new commands are submitted, in nanoseconds.
  var duration: UInt64
  /// Whether to sleep until the interrupt where nothing completes for long, rather than to poll always.
  var isAdaptive = false
  /// The blocks `0 ..< range` of the namespace are used.
  var range: UInt64

  /// The size of a command in bytes.
  var commandBytes: Int { blocksPerCommand * SynchronousDevice.blockSize }
}

/// The first block of one command after the other.
struct BlockSequence {
  private let pattern: AccessPattern
  private let blocksPerCommand: UInt64
  /// How many places of a command's size there are.
  private let places: UInt64
  private var state: UInt64

  /// The sequence of a plan. Random ones follow from `seed` alone.
  init(_ plan: BenchPlan, seed: UInt64) {
    pattern = plan.pattern
    blocksPerCommand = UInt64(plan.blocksPerCommand)
    places = max(plan.range / blocksPerCommand, 1)
    state = pattern == .random ? seed : 0
  }

  @inline(__always)
  mutating func next() -> UInt64 {
    switch pattern {
    case .sequential:
      let place = state
      state = place &+ 1 == places ? 0 : place &+ 1
      return place &* blocksPerCommand
    case .random:
      // SplitMix64, scaled down to the number of places.
      state &+= 0x9e37_79b9_7f4a_7c15
      var bits = state
      bits = (bits ^ bits >> 30) &* 0xbf58_476d_1ce4_e5b9
      bits = (bits ^ bits >> 27) &* 0x94d0_49bb_1331_11eb
      return (bits ^ bits >> 31).multipliedFullWidth(by: places).high &* blocksPerCommand
    }
  }
}
