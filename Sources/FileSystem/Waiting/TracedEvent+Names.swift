import BlockProtocol
import FileProtocol
import Format

/// What the numbers in events of a filesystem's trace stand for.
extension FileSystem {
  /// The name of the background job whose event it is; nil for a request's, and for the device's.
  public func jobName(of event: TracedEvent) -> String? {
    Job(rawValue: Int(event.actor) - waiting.slots).map { "\($0)" }
  }

  /// The name of what `detail` says: of the operation, the reason, the phase, …; nil where it says nothing.
  public static func detailName(of event: TracedEvent) -> String? {
    switch event.kind {
    case .request: Operation(rawValue: event.detail).map { "\($0)" }
    case .wait: WaitReason(rawValue: event.detail).map { "\($0)" }
    case .command: BlockCommand.Operation(rawValue: event.detail).map { "\($0)" }
    case .logWrite: LogHead(rawValue: event.detail).map { "\($0)" }
    case .checkpoint: CheckpointWriter.Phase(rawValue: event.detail).map { "\($0)" }
    case .held, .resume, .completion, .cleaning, .step, .finish, .reply: nil
    }
  }
}
