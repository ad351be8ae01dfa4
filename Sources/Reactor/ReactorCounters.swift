import BlockProtocol
import FileProtocol

/// Counters of a reactor since it was made.
public struct ReactorCounters: Sendable, Equatable {
  /// Requests passed to the service.
  public var requests: UInt64 = 0
  /// Commands from the service to the device.
  public var commands: UInt64 = 0
  /// Reads among them, and their 4 KiB blocks.
  public var reads: UInt64 = 0
  public var readBlocks: UInt64 = 0
  /// Writes among them, and their 4 KiB blocks.
  public var writes: UInt64 = 0
  public var writtenBlocks: UInt64 = 0
  /// Flushes among them.
  public var flushes: UInt64 = 0
  /// Discards among them.
  public var discards: UInt64 = 0
  /// Commands the device had no room for at first.
  public var delayedCommands: UInt64 = 0
  /// Commands that ended with an error.
  public var failedCommands: UInt64 = 0
  /// How often the reactor slept.
  public var sleeps: UInt64 = 0
  /// How often every slot was in use, so that nothing could be received until one became free.
  public var slotShortages: UInt64 = 0
  /// Requests that waited for their user's turn.
  public var heldRequests: UInt64 = 0
  /// How often the service took longer than `Reactor.longStep` for a request or a step, and the longest time
  /// it took, in nanoseconds.
  public var longSteps: UInt64 = 0
  public var longestStep: UInt64 = 0

  /// Requests of each kind, by `Operation.rawValue`.
  private var kinds = [UInt64](repeating: 0, count: Int(UInt8.max) + 1)

  public init() {}

  /// How many requests of a kind there were.
  public subscript(operation: Operation) -> UInt64 { kinds[Int(operation.rawValue)] }

  /// The kinds of which there were any, with how many.
  public var byOperation: [(operation: Operation, count: UInt64)] {
    kinds.indices.compactMap { kind in
      guard kinds[kind] > 0, let operation = Operation(rawValue: UInt8(kind)) else { return nil }
      return (operation, kinds[kind])
    }
  }

  @inline(__always)
  mutating func countStep(_ nanoseconds: UInt64) {
    guard nanoseconds > longestStep || nanoseconds > Reactor.longStep else { return }
    longestStep = max(longestStep, nanoseconds)
    if nanoseconds > Reactor.longStep { longSteps += 1 }
  }

  @inline(__always)
  mutating func count(_ operation: Operation) {
    requests += 1
    kinds[Int(operation.rawValue)] += 1
  }

  mutating func count(_ command: BlockCommand) {
    commands += 1
    switch command.operation {
    case .read:
      reads += 1
      readBlocks += UInt64(command.count)
    case .write:
      writes += 1
      writtenBlocks += UInt64(command.count)
    case .flush: flushes += 1
    case .discard: discards += 1
    case .writeZeroes, .verify, .compare: break
    }
  }
}
