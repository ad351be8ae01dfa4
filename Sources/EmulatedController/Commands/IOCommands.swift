import Glibc
import NVMeSpec

/// The NVM command set (NVM Command Set 1.0, section 3.2).
extension ControllerModel {
  @inline(__always)
  mutating func executeIO(_ command: inout FetchedCommand) -> Outcome {
    // Neither fused commands nor a metadata pointer's SGL; SGLs only where they are offered.
    let control = command.entry.cdw0 & 0xc300
    if control != 0, control != 0x4000 || !configuration.sgl { return .refused(.invalidField) }
    switch IOOpcode(rawValue: command.entry.opcode) {
    case .read: return read(command)
    case .write: return write(command)
    case .flush: return flush(command)
    default: return executeOptional(&command)
    }
  }

  /// Carries out an optional command, or refuses it when the configuration does not offer it.
  @inline(never)
  private mutating func executeOptional(_ command: inout FetchedCommand) -> Outcome {
    let offered = configuration.ioCommands
    switch IOOpcode(rawValue: command.entry.opcode) {
    case .datasetManagement where offered.contains(.datasetManagement): return manageDataset(&command)
    case .writeZeroes where offered.contains(.writeZeroes): return writeZeroes(command)
    case .compare where offered.contains(.compare): return compare(command)
    case .verify where offered.contains(.verify): return verify(command)
    default: return .refused(.invalidOpcode)
    }
  }

  /// The namespace, the offset and the length in bytes of a command's blocks.
  private enum Extent {
    case valid(NamespaceRecord, offset: Int, length: Int)
    case refused(StatusCode)
  }

  @inline(__always)
  private func extent(_ entry: borrowing SubmissionEntry) -> Extent {
    guard let namespace = namespaces[entry.namespace] else { return .refused(.invalidNamespaceOrFormat) }
    let (block, count) = (entry.startingBlock, UInt64(entry.blockCount))
    guard block < namespace.blocks, count <= namespace.blocks &- block else {
      return .refused(.lbaOutOfRange)
    }
    return .valid(
      namespace, offset: Int(block) &<< namespace.shift, length: Int(count) &<< namespace.shift)
  }

  @inline(__always)
  private mutating func read(_ command: FetchedCommand) -> Outcome {
    guard case .valid(let namespace, let offset, let length) = extent(command.entry) else {
      return refusal(command)
    }
    guard length <= maximumBytes else { return .refused(.invalidField) }
    if command.entry.forceUnitAccess, let refusal = settle(namespace, command) { return refusal }
    if namespace.metadataSize != 0 { return readProtected(command, namespace, offset, length) }
    let status = gather(command, length: length, write: true)
    guard status.isSuccess else { return .done(status, 0) }
    statistics.reads &+= 1
    statistics.bytesRead &+= length
    let medium = namespace.medium
    let failure =
      isInService
      ? medium.readNow(into: pieces.base, pieces.count, at: offset)
      : medium.read(into: pieces.base, pieces.count, at: offset)
    if failure == 0 { return .success }
    return failure == EAGAIN ? readLater(command, medium, offset, length) : .done(Self.readError, 0)
  }

  /// Hands a read to a worker thread; the pieces are gathered again, as the first attempt has consumed some.
  @inline(never)
  private mutating func readLater(
    _ command: FetchedCommand, _ medium: Medium, _ offset: Int, _ length: Int
  ) -> Outcome {
    let status = gather(command, length: length, write: true)
    guard status.isSuccess else { return .done(status, 0) }
    return hand(
      .read(medium, Array(UnsafeBufferPointer(start: pieces.base, count: pieces.count)), offset), command)
  }

  @inline(__always)
  private mutating func write(_ command: FetchedCommand) -> Outcome {
    guard case .valid(let namespace, let offset, let length) = extent(command.entry) else {
      return refusal(command)
    }
    guard length <= maximumBytes else { return .refused(.invalidField) }
    guard !namespace.isWriteProtected else { return .refused(.namespaceWriteProtected) }
    if namespace.metadataSize != 0 { return writeWithMetadata(command, namespace, offset, length) }
    let status = gather(command, length: length, write: false)
    guard status.isSuccess else { return .done(status, 0) }
    if records { recordWrite(command, length: length) }
    statistics.writes &+= 1
    statistics.bytesWritten &+= length
    // A mapped image lies in memory, so FUA needs no flush.
    if isInService, case .mapped(let mapped) = namespace.medium {
      return write(to: mapped, offset..<offset + length, command)
    }
    let failure = namespace.medium.write(pieces.base, pieces.count, at: offset)
    guard failure == 0 else { return .done(Self.writeError(failure), 0) }
    return command.entry.forceUnitAccess || !features.writeCache
      ? synchronize(namespace.medium, command) : .success
  }

  @inline(never)
  private mutating func flush(_ command: FetchedCommand) -> Outcome {
    if records { recordExecution(of: command) }
    if command.entry.namespace == SubmissionEntry.allNamespaces {
      statistics.flushes += 1
      return synchronize(namespaces.identifiers.compactMap { namespaces[$0]?.medium }, command)
    }
    guard let namespace = namespaces[command.entry.namespace] else {
      return .refused(.invalidNamespaceOrFormat)
    }
    statistics.flushes += 1
    return synchronize(namespace.medium, command)
  }

  @inline(never)
  private mutating func writeZeroes(_ command: FetchedCommand) -> Outcome {
    guard case .valid(let namespace, let offset, let length) = extent(command.entry) else {
      return refusal(command)
    }
    guard !namespace.isWriteProtected else { return .refused(.namespaceWriteProtected) }
    if records { recordExecution(of: command) }
    let durable = command.entry.forceUnitAccess || !features.writeCache
    return zero(namespace.medium, namespace.withMetadata(offset, length), durable, command)
  }

  @inline(never)
  private mutating func manageDataset(_ command: inout FetchedCommand) -> Outcome {
    guard let namespace = namespaces[command.entry.namespace] else {
      return .refused(.invalidNamespaceOrFormat)
    }
    let status = receive(command.entry.rangeCount * DatasetManagementRange.size, for: command)
    guard status.isSuccess else { return .done(status, 0) }
    guard command.entry.deallocateRanges else { return .success }
    guard !namespace.isWriteProtected else { return .refused(.namespaceWriteProtected) }
    var ranges: [DatasetManagementRange] = []
    for index in 0..<command.entry.rangeCount {
      let range = scratch.loadUnaligned(
        fromByteOffset: index * DatasetManagementRange.size, as: DatasetManagementRange.self)
      guard range.startingBlock <= namespace.blocks,
        UInt64(range.blockCount) <= namespace.blocks - range.startingBlock
      else { return .refused(.lbaOutOfRange) }
      if range.blockCount != 0 { ranges.append(range) }
    }
    if records { recordDeallocation(&command, ranges) }
    statistics.blocksDeallocated += ranges.reduce(0) { $0 + Int($1.blockCount) }
    let extents = ranges.flatMap {
      namespace.withMetadata(Int($0.startingBlock) << namespace.shift, Int($0.blockCount) << namespace.shift)
    }
    return zero(namespace.medium, extents, !features.writeCache, command)
  }

  @inline(never)
  private mutating func compare(_ command: FetchedCommand) -> Outcome {
    guard case .valid(let namespace, let offset, let length) = extent(command.entry) else {
      return refusal(command)
    }
    guard length <= maximumBytes else { return .refused(.invalidField) }
    if command.entry.forceUnitAccess, let refusal = settle(namespace, command) { return refusal }
    if namespace.metadataSize != 0 { return compareProtected(command, namespace, offset, length) }
    let status = gather(command, length: length, write: false)
    guard status.isSuccess else { return .done(status, 0) }
    statistics.reads += 1
    statistics.bytesRead += length
    var position = offset
    for index in 0..<pieces.count {
      var done = 0
      while done < pieces.base[index].iov_len {
        let count = min(scratch.count, pieces.base[index].iov_len - done)
        var piece = iovec(iov_base: scratch.baseAddress, iov_len: count)
        guard namespace.medium.read(into: &piece, 1, at: position) == 0 else {
          return .done(Self.readError, 0)
        }
        guard let host = pieces.base[index].iov_base, let ours = scratch.baseAddress,
          memcmp(host + done, ours, count) == 0
        else { return .refused(.compareFailure) }
        done += count
        position += count
      }
    }
    return .success
  }

  /// Makes the blocks durable before a command with FUA reads them.
  /// - Returns: nil when they are durable.
  @inline(never)
  private mutating func settle(_ namespace: NamespaceRecord, _ command: FetchedCommand) -> Outcome? {
    guard features.writeCache else { return nil }
    if records { recordExecution(of: command) }
    if cannotSynchronize { return .refused(.writeFault) }
    let failure = namespace.medium.synchronize()
    return failure == 0 ? nil : .done(Self.writeError(failure), 0)
  }

  /// Reads the blocks without sending them anywhere.
  @inline(never)
  private mutating func verify(_ command: FetchedCommand) -> Outcome {
    guard case .valid(let namespace, let offset, let length) = extent(command.entry) else {
      return refusal(command)
    }
    if command.entry.forceUnitAccess, let refusal = settle(namespace, command) { return refusal }
    statistics.bytesRead += length
    if namespace.metadataSize != 0 { return verifyProtected(command, namespace, offset, length) }
    var done = 0
    while done < length {
      let count = min(scratch.count, length - done)
      var piece = iovec(iov_base: scratch.baseAddress, iov_len: count)
      guard namespace.medium.read(into: &piece, 1, at: offset + done) == 0 else {
        return .done(Self.readError, 0)
      }
      done += count
    }
    return .success
  }

  @inline(never)
  private func refusal(_ command: FetchedCommand) -> Outcome {
    if case .refused(let code) = extent(command.entry) { return .refused(code) }
    return .refused(.internalError)
  }
}
