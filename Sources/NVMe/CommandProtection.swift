import NVMeSpec
import PCI

/// The metadata of commands to a namespace that has some, and the protection information in it.
///
/// Metadata lies in separate buffers, one for each command that can be in flight. Where the format has it
/// between the blocks, and it is protection information alone, the controller generates and strips it
/// (PRACT).
final class CommandProtection {
  let format: ProtectionFormat
  /// Whether metadata is transferred at all.
  let isTransferred: Bool
  /// The metadata of all commands, for the processor and for the device.
  private let metadata: UnsafeMutableRawPointer
  private let address: UInt64
  private let bytesPerCommand: Int
  /// The frames of each command, and the memory they lie in.
  private let frames: UnsafeMutablePointer<UInt32>
  private let memory: UnsafeMutablePointer<UnsafeMutableRawPointer>
  private let framesPerCommand: Int
  private let lbasPerFrame: Int

  /// The most metadata of one command in bytes.
  static let limit = 4 * DMAArena.frameSize

  init(_ namespace: NamespaceProtection, memory queue: QueueMemory) {
    format = namespace.format
    isTransferred = !namespace.isStripped
    metadata = queue.metadata
    address = queue.metadataAddress
    bytesPerCommand = queue.metadataPages * DMAArena.frameSize
    lbasPerFrame = DMAArena.frameSize / format.blockSize
    framesPerCommand = namespace.frameLimit
    frames = .allocate(capacity: queue.entries * framesPerCommand)
    memory = .allocate(capacity: queue.entries)
    memory.initialize(repeating: queue.metadata, count: queue.entries)
  }

  deinit {
    frames.deallocate()
    memory.deallocate()
  }

  /// Adds protection fields to a read, write or compare, and generates the protection information of a write
  /// or compare.
  /// - Parameters:
  ///   - index: the index of its tracker.
  ///   - list: its frames in the memory at `base`, no more than a command may have.
  func protect(
    _ command: inout SubmissionEntry, index: Int, _ list: UnsafePointer<UInt32>, _ count: Int,
    in base: UnsafeMutableRawPointer
  ) {
    command.protectionInformation = isTransferred ? format.checks : format.checks.union(.action)
    command.referenceTag = format.referenceTag(command.startingBlock)
    guard isTransferred else { return }
    command.metadata = address &+ UInt64(index * bytesPerCommand)
    let count = min(count, framesPerCommand)
    (frames + index * framesPerCommand).update(from: list, count: count)
    memory[index] = base
    // A compare sends data to the controller, like a write.
    let isWrite = command.opcode != IOOpcode.read.rawValue
    let bytes = metadata + index * bytesPerCommand
    // A read must not find the metadata of an earlier command in its buffer.
    bytes.initializeMemory(as: UInt8.self, repeating: isWrite ? 0 : 0xfe, count: bytesPerCommand)
    guard isWrite else { return }
    forEachBlock(of: command, index) { data, metadata, block in
      format.protect(data, metadata, reference: format.referenceTag(block))
      return true
    }
  }

  /// Checks the data of a read.
  /// - Returns: the check that failed; nil when all passed, and for commands that are not reads.
  func mismatch(_ command: SubmissionEntry, index: Int) -> StatusCode? {
    guard isTransferred, command.opcode == IOOpcode.read.rawValue else { return nil }
    var mismatch: StatusCode?
    forEachBlock(of: command, index) { data, metadata, block in
      mismatch = format.mismatch(data, metadata, format.checks, reference: format.referenceTag(block))
      return mismatch == nil
    }
    return mismatch
  }

  /// Calls `body` with each logical block, its metadata and its address, until that returns false.
  private func forEachBlock(
    of command: SubmissionEntry, _ index: Int,
    _ body: (UnsafeMutableRawPointer, UnsafeMutableRawPointer, UInt64) -> Bool
  ) {
    let list = frames + index * framesPerCommand
    for block in 0..<min(Int(command.blockCount), framesPerCommand * lbasPerFrame) {
      let frame = memory[index] + Int(list[block / lbasPerFrame]) * DMAArena.frameSize
      let tuple = metadata + index * bytesPerCommand + block * format.metadataSize
      let isFine = body(
        frame + block % lbasPerFrame * format.blockSize, tuple, command.startingBlock &+ UInt64(block))
      if !isFine { return }
    }
  }
}

/// How the metadata of a namespace is handled.
public struct NamespaceProtection: Sendable, Hashable {
  public let format: ProtectionFormat
  /// Whether the controller generates, checks and strips the metadata (PRACT), all of which is protection
  /// information.
  public let isStripped: Bool
  /// The most frames of one command.
  let frameLimit: Int

  /// - Returns: nil for a namespace without metadata, or whose metadata lies between the blocks and is more
  ///   than protection information.
  init?(_ identity: IdentifyNamespace) {
    guard let format = ProtectionFormat(identity), format.blockSize <= DMAArena.frameSize else { return nil }
    isStripped = identity.extendedMetadata
    guard !isStripped || format.isAllProtection else { return nil }
    self.format = format
    frameLimit = CommandProtection.limit / (format.metadataSize * (DMAArena.frameSize / format.blockSize))
    guard frameLimit > 0 else { return nil }
  }
}

extension QueuePair {
  /// Puts a read, a write or a compare of a namespace with metadata into the submission queue, as
  /// `postTransfer` does.
  /// - Parameter memory: the arena's frame 0 for the processor.
  public mutating func postProtected(
    _ opcode: IOOpcode, namespace: UInt32, lba: UInt64, lbaCount: UInt32, forceUnitAccess: Bool,
    frames: UnsafePointer<UInt32>, count: Int, base: UInt64, memory: UnsafeMutableRawPointer, context: UInt64
  ) -> Bool {
    guard isOnline, let protection, let tracker = trackers.take() else { return false }
    var command = SubmissionEntry(opcode, namespace: namespace, block: lba, count: lbaCount)
    command.forceUnitAccess = forceUnitAccess
    point(&command, of: tracker, at: frames, count: count, base: base)
    protection.protect(
      &command, index: trackers.index(of: tracker.pointee.commandID), frames, count, in: memory)
    enqueue(command, tracker, context: context)
    return true
  }

  /// Puts a Verify of a namespace with metadata, or without, into the submission queue: the controller reads
  /// the blocks and checks them against their protection information, and nothing is transferred.
  /// - Parameters:
  ///   - lbaCount: the number of logical blocks, 1...65,536.
  ///   - context: returned with the command's end.
  /// - Returns: false when there is no room.
  public mutating func postVerify(namespace: UInt32, lba: UInt64, lbaCount: UInt32, context: UInt64) -> Bool {
    var command = SubmissionEntry(.verify, namespace: namespace, block: lba, count: lbaCount)
    if let format = protection?.format {
      command.protectionInformation = format.checks
      command.referenceTag = format.referenceTag(lba)
    }
    return post(command, context: context) != nil
  }

  /// Ends a command of a protected queue pair: a read that does not match its protection information fails,
  /// as if the controller had found it.
  mutating func completeProtected(
    _ tracker: UnsafeMutablePointer<Tracker>, _ protection: CommandProtection, result: UInt32
  ) {
    let index = trackers.index(of: tracker.pointee.commandID)
    if let code = protection.mismatch(tracker.pointee.command, index: index) {
      counts.protectionErrors &+= 1
      completeWithError(tracker, status: Status(code), result: result)
    } else {
      finish(tracker, .succeeded, status: .success, result: result)
    }
  }
}
