import Glibc
import NVMeSpec
import PCI

/// The DMA memory of one queue pair: submission entries, completion entries, and PRP list pages for every
/// command that can be in flight. Mapped for the device as long as the object lives.
///
///     | submission queue | completion queue | list pages of each command | metadata of each
///       each part begins at a page
///
/// The submission queue is not among it where there is room for one in the controller's memory buffer.
final class QueueMemory {
  /// The queue identifier, the same for both queues; 0 is the admin queue pair.
  let identifier: UInt16
  /// The number of entries of each queue. One of them stays empty.
  let entries: Int
  /// The interrupt vector of the completion queue, nil where the function has none.
  let vector: UInt16?
  /// List pages of each command.
  let listPages: Int
  /// Pages of metadata of each command.
  let metadataPages: Int
  /// The memory itself.
  let arena: DMAArena
  /// Where the submission queue lies in the controller's own memory, if it does.
  let buffered: ControllerMemoryBuffer.Part?

  private static let submissionEntrySize = MemoryLayout<SubmissionEntry>.stride
  private static let completionEntrySize = MemoryLayout<CompletionEntry>.stride

  /// Allocates the memory and maps it for `function`.
  init(
    identifier: UInt16, entries: Int, vector: UInt16?, listPages: Int, metadataPages: Int = 0,
    buffered: ControllerMemoryBuffer.Part? = nil, function: any PCIFunction
  ) throws(FunctionError) {
    self.identifier = identifier
    self.entries = entries
    self.vector = vector
    self.listPages = listPages
    self.metadataPages = metadataPages
    self.buffered = buffered
    let frames =
      (buffered == nil ? Self.frames(entries * Self.submissionEntrySize) : 0)
      + Self.frames(entries * Self.completionEntrySize)
      + (entries - 1) * (listPages + metadataPages)
    arena = try DMAArena(frames: frames, name: "varve-queue-\(identifier)")
    try function.map(arena)
  }

  private static func frames(_ bytes: Int) -> Int { (bytes + DMAArena.frameSize - 1) / DMAArena.frameSize }

  /// Bytes of a submission queue.
  static func submissionBytes(entries: Int) -> Int { entries * submissionEntrySize }

  private var completionOffset: Int {
    buffered == nil ? Self.frames(Self.submissionBytes(entries: entries)) * DMAArena.frameSize : 0
  }
  private var listOffset: Int {
    completionOffset + Self.frames(entries * Self.completionEntrySize) * DMAArena.frameSize
  }

  /// The submission queue.
  var submissionQueue: UnsafeMutableRawPointer { buffered?.base ?? arena.base }
  /// The submission queue's address for the device.
  var submissionAddress: UInt64 { buffered?.address ?? arena.iova }
  /// The completion queue.
  var completionQueue: UnsafeMutableRawPointer { arena.base + completionOffset }
  /// The completion queue's address for the device.
  var completionAddress: UInt64 { arena.iova + UInt64(completionOffset) }
  /// The list pages, command by command.
  var lists: UnsafeMutableRawPointer { arena.base + listOffset }
  /// The list pages' address for the device.
  var listsAddress: UInt64 { arena.iova + UInt64(listOffset) }

  private var metadataOffset: Int { listOffset + (entries - 1) * listPages * DMAArena.frameSize }
  /// The metadata, command by command.
  var metadata: UnsafeMutableRawPointer { arena.base + metadataOffset }
  /// The metadata's address for the device.
  var metadataAddress: UInt64 { arena.iova + UInt64(metadataOffset) }

  /// Zeroes both queues, as far as they lie in the host's memory, so that no completion of an earlier
  /// generation has a phase tag that looks new.
  func clearQueues() { memset(arena.base, 0, listOffset) }
}
