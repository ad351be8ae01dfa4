import CMachine
import NVMeSpec

/// The device's side of a queue pair.
final class NullQueue {
  let identifier: UInt16
  let entries: UInt32
  private let submission: UnsafeMutableRawPointer?
  private let completion: UnsafeMutableRawPointer?
  private var head: UInt32 = 0
  private var tail: UInt32 = 0
  private var phase = true

  /// - Parameters:
  ///   - submission: where the submission queue lies; the driver's addresses are the processor's.
  ///   - completion: where the completion queue lies.
  init(identifier: UInt16, entries: UInt32, submission: UInt64, completion: UInt64) {
    self.identifier = identifier
    self.entries = entries
    self.submission = UnsafeMutableRawPointer(bitPattern: UInt(submission))
    self.completion = UnsafeMutableRawPointer(bitPattern: UInt(completion))
  }

  /// Fetches a command; nil when the queue is empty.
  func next(tail doorbell: UInt32) -> SubmissionEntry? {
    guard head != doorbell, let submission else { return nil }
    let command = submission.load(
      fromByteOffset: Int(head) * SubmissionEntry.size, as: SubmissionEntry.self)
    head = head + 1 == entries ? 0 : head + 1
    return command
  }

  /// Posts a completion with status success.
  func complete(_ command: SubmissionEntry, result: UInt32) {
    guard let completion else { return }
    let entry = completion + Int(tail) * CompletionEntry.size
    cm_store32(entry, result)
    cm_store32(entry + 8, head | UInt32(identifier) << 16)
    cm_release_fence()
    cm_store32(entry + 12, UInt32(command.commandIdentifier) | (phase ? 1 << 16 : 0))
    tail += 1
    if tail == entries {
      tail = 0
      phase.toggle()
    }
  }
}
