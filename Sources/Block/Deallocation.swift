import NVMe
import NVMeSpec

/// Gathers discards into as few Dataset Management commands as the controller's limits allow, and records
/// which requests each command serves.
///
/// Discards that are submitted together share a command; a large one may need several.
struct Deallocation {
  /// The most Dataset Management commands in flight at once.
  static let batchLimit = 8

  /// The ranges of the command being gathered.
  private(set) var ranges: [DatasetManagementRange] = []

  private let rangeLimit: Int
  /// The most blocks of one range, and of one command.
  private let rangeBlocks: UInt64
  private let commandBlocks: UInt64
  private let lbasPerBlock: UInt32
  private var room: UInt64 = 0
  /// For each command in flight, the requests it serves.
  private var requests: [[UInt32]]
  private var freeBatches = Array(0..<Deallocation.batchLimit)

  /// - Parameters:
  ///   - capabilities: the controller's limits, which must allow at least one block.
  ///   - lbasPerBlock: logical blocks of a 4 KiB block.
  init(_ capabilities: Capabilities, lbasPerBlock: UInt32) {
    self.lbasPerBlock = lbasPerBlock
    rangeLimit = capabilities.deallocateRanges
    rangeBlocks = UInt64(capabilities.deallocateRangeBlocks / lbasPerBlock)
    commandBlocks = capabilities.deallocateBlocks / UInt64(lbasPerBlock)
    requests = Array(repeating: [], count: Self.batchLimit)
    ranges.reserveCapacity(DatasetManagementRange.limit)
    for index in requests.indices { requests[index].reserveCapacity(DatasetManagementRange.limit) }
  }

  /// Begins a command.
  /// - Returns: its number; nil when `batchLimit` commands are in flight.
  mutating func begin() -> Int? {
    ranges.removeAll(keepingCapacity: true)
    room = commandBlocks
    return freeBatches.popLast()
  }

  /// Adds blocks to the command: to its last range where they continue it, as a new range otherwise.
  /// - Returns: how many of the `count` blocks, from the first on, were added.
  mutating func add(_ block: UInt64, _ count: UInt32) -> UInt32 {
    let most = min(UInt64(count), rangeBlocks, room)
    guard most > 0 else { return 0 }
    let lba = block * UInt64(lbasPerBlock)
    let lbas = UInt32(truncatingIfNeeded: most) * lbasPerBlock
    if let last = ranges.last, last.startingBlock + UInt64(last.blockCount) == lba,
      UInt64(last.blockCount) + UInt64(lbas) <= rangeBlocks * UInt64(lbasPerBlock)
    {
      ranges[ranges.count - 1].blockCount += lbas
    } else if ranges.count < rangeLimit {
      ranges.append(DatasetManagementRange(block: lba, count: lbas))
    } else {
      return 0
    }
    room -= most
    return UInt32(truncatingIfNeeded: most)
  }

  /// Records that command `number` serves a request.
  /// - Returns: whether that was new.
  mutating func record(_ request: UInt32, in number: Int) -> Bool {
    guard requests[number].last != request else { return false }
    requests[number].append(request)
    return true
  }

  /// Ends command `number`.
  /// - Returns: the requests it served.
  mutating func end(_ number: Int) -> [UInt32] {
    let served = requests[number]
    requests[number].removeAll(keepingCapacity: true)
    freeBatches.append(number)
    return served
  }
}
