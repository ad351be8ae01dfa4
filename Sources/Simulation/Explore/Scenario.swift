import FileProtocol

/// A workload, on a kind of disk, whose crashes are explored.
public struct Scenario: Sendable {
  public let name: String
  /// A description in one line.
  public let summary: String
  public var clients = 1
  /// Errors that actions may end with.
  public var tolerated: Set<Int32> = []
  /// Checkpoint after this many log blocks; 0 for the filesystem's default.
  public var checkpointBlocks: UInt64 = 0
  /// Whether recoveries are crashed too.
  public var crashesRecovery = false
  /// 4 KiB blocks of the disk, 0 for the explorer's own.
  public var blockCount: UInt64 = 0
  /// Sizes and options.
  public var shape = Shape()
  /// Changes the disk.
  public var profile: @Sendable (inout DiskProfile) -> Void = { _ in }
  /// The faults of the disk.
  public var faults: @Sendable (inout SeededRandom) -> [DiskFault] = { _ in [] }
  /// The work.
  public let workload: @Sendable (inout SeededRandom) -> any Workload

  public init(
    _ name: String, _ summary: String, workload: @escaping @Sendable (inout SeededRandom) -> any Workload
  ) {
    self.name = name
    self.summary = summary
    self.workload = workload
  }

  /// A copy in which `edit` has changed something.
  public func with(_ edit: (inout Scenario) -> Void) -> Scenario {
    var copy = self
    edit(&copy)
    return copy
  }
}

/// Creates the file service under test for a disk and an arena.
public struct Mounter {
  public let make: (SimulatedMemory, SimulatedDisk, Scenario) -> any FileService

  public init(_ make: @escaping (SimulatedMemory, SimulatedDisk, Scenario) -> any FileService) {
    self.make = make
  }
}

/// A broken promise, and how to reproduce it.
public struct Violation: CustomStringConvertible, Sendable {
  public var scenario: String
  public var seed: UInt64
  /// The event of the run after which the power was cut; 0 when the run itself failed.
  public var point: Int
  /// The state among those of the point.
  public var state: Int
  public var choice: String
  public var message: String

  /// The command that reproduces it.
  public var command: String {
    let place = point > 0 ? " --point \(point) --state \(state)" : ""
    return "crash --workload \(scenario) --run \(seed)\(place)"
  }

  public var description: String { "\(command)\n    power cut: \(choice)\n    \(message)" }
}
