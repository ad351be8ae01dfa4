import NVMeSpec

/// The life of one command as a queue pair saw it. Times are in nanoseconds, monotonic.
public struct CommandTrace: Sendable {
  /// The queue identifier.
  public var queue: UInt16 = 0
  /// The command as it was submitted.
  public var command = SubmissionEntry()
  /// The context that it was posted with.
  public var context: UInt64 = 0
  /// When the first command that shares its doorbell was put into the submission queue.
  public var submitted: UInt64 = 0
  /// When the store to the doorbell began, and when it had ended.
  public var doorbell: UInt64 = 0
  public var doorbellEnd: UInt64 = 0
  /// When a poll found its completion, and when that poll had collected all it found; 0 while the command is
  /// in flight, and for ever when the controller was reset meanwhile.
  public var completed: UInt64 = 0
  public var reaped: UInt64 = 0
  /// The completion's status.
  public var status = Status.success

  /// A record of zeros.
  public init() {}

  /// Whether the completion has come.
  public var isComplete: Bool { reaped != 0 }
}

/// A ring of the last commands of a queue pair, in the order of their submission.
///
/// All its memory is allocated before the first command. A queue pair checks for a tracer once a doorbell and
/// once a poll: without one, a command costs nothing more.
final class CommandTracer {
  let capacity: Int
  private let records: UnsafeMutablePointer<CommandTrace>
  /// The number of the record of each command identifier's last use.
  private let latest: UnsafeMutablePointer<UInt64>
  /// Records made, and records taken or lost.
  private var made: UInt64 = 0
  private var taken: UInt64 = 0
  /// Records that were overwritten before they were taken.
  private(set) var lost: UInt64 = 0

  private static let identifiers = 1 << 16

  /// Room for `capacity` commands, at least 2.
  init(capacity: Int) {
    self.capacity = max(capacity, 2)
    records = .allocate(capacity: self.capacity)
    records.initialize(repeating: CommandTrace(), count: self.capacity)
    latest = .allocate(capacity: Self.identifiers)
    latest.initialize(repeating: .max, count: Self.identifiers)
  }

  deinit {
    records.deallocate()
    latest.deallocate()
  }

  private func record(_ number: UInt64) -> UnsafeMutablePointer<CommandTrace> {
    records + Int(number % UInt64(capacity))
  }

  /// Records a command whose doorbell is about to be stored.
  func add(_ trace: CommandTrace) {
    if made - taken == UInt64(capacity) {
      taken += 1
      lost += 1
    }
    record(made).pointee = trace
    latest[Int(trace.command.commandIdentifier)] = made
    made += 1
  }

  /// Records that the doorbell for the last `count` commands has been stored.
  func ring(_ count: Int, at time: UInt64) {
    for number in made - min(UInt64(count), made - taken)..<made { record(number).pointee.doorbellEnd = time }
  }

  /// Records a completion.
  /// - Parameters:
  ///   - found: when the poll began.
  ///   - reaped: when it had collected all.
  func complete(_ identifier: UInt16, _ status: Status, found: UInt64, reaped: UInt64) {
    let number = latest[Int(identifier)]
    guard number != .max, number >= taken, number < made, !record(number).pointee.isComplete else { return }
    record(number).pointee.status = status
    record(number).pointee.completed = found
    record(number).pointee.reaped = reaped
  }

  /// Takes the oldest commands, up to the first that is still in flight. A command older than half the ring
  /// is taken even so.
  func take(limit: Int) -> [CommandTrace] {
    var result: [CommandTrace] = []
    while taken < made, result.count < limit {
      let trace = record(taken).pointee
      guard trace.isComplete || made - taken > UInt64(capacity / 2) else { break }
      result.append(trace)
      taken += 1
    }
    return result
  }
}
