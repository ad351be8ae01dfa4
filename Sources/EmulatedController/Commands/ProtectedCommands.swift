import Glibc
import NVMeSpec

/// Reads, writes, comparisons and verifications of namespaces with metadata (NVM Command Set 1.0, section
/// 5.2).
///
/// Metadata is transferred in a separate buffer, or not at all where the controller generates and strips the
/// protection information (PRACT). On the medium it lies behind the last block, with the protection
/// information inverted: zeros, as in blocks that were never written or were deallocated, then read as all
/// ones, the value that disables checking.
extension ControllerModel {
  @inline(never)
  mutating func readProtected(
    _ command: FetchedCommand, _ namespace: NamespaceRecord, _ offset: Int, _ length: Int
  ) -> Outcome {
    let entry = command.entry
    var (data, metadata) = namespace.buffers(length)
    guard namespace.read(&data, &metadata, at: offset) == 0 else { return .done(Self.readError, 0) }
    if let refusal = namespace.refusal(of: entry) { return .refused(refusal) }
    if let mismatch = namespace.mismatch(data, metadata, entry) { return .done(Status(mismatch), 0) }
    let status = gather(command, length: length, write: true)
    guard status.isSuccess else { return .done(status, 0) }
    statistics.reads &+= 1
    statistics.bytesRead &+= length
    if case .flipBit = command.fault { data[length / 2] ^= 0x10 }
    data.withUnsafeBytes { pieces.fill(from: $0) }
    guard namespace.transfersMetadata(entry) else { return .success }
    guard let host = iommu.translate(entry.metadata, metadata.count, write: true) else {
      return .refused(.dataTransferError)
    }
    memcpy(host, metadata, metadata.count)
    return .success
  }

  @inline(never)
  mutating func writeWithMetadata(
    _ command: FetchedCommand, _ namespace: NamespaceRecord, _ offset: Int, _ length: Int
  ) -> Outcome {
    let entry = command.entry
    var (data, metadata) = namespace.buffers(length)
    if let refusal = namespace.refusal(of: entry) { return .refused(refusal) }
    let status = gather(command, length: length, write: false)
    guard status.isSuccess else { return .done(status, 0) }
    data.withUnsafeMutableBytes { pieces.copy(to: $0) }
    if case .flipBit = command.fault { data[length / 2] ^= 0x10 }
    if namespace.transfersMetadata(entry) {
      guard let host = iommu.translate(entry.metadata, metadata.count, write: false) else {
        return .refused(.dataTransferError)
      }
      memcpy(&metadata, host, metadata.count)
    }
    if entry.protectionInformation.contains(.action) {
      namespace.protect(data, &metadata, entry)
    } else if let mismatch = namespace.mismatch(data, metadata, entry) {
      return .done(Status(mismatch), 0)
    }
    statistics.writes &+= 1
    statistics.bytesWritten &+= length
    let failure = namespace.write(&data, &metadata, at: offset)
    guard failure == 0 else { return .done(Self.writeError(failure), 0) }
    return entry.forceUnitAccess || !features.writeCache ? synchronize(namespace.medium, command) : .success
  }

  /// Compare: the blocks and the host's data are both checked against their protection information, which is
  /// not itself compared.
  mutating func compareProtected(
    _ command: FetchedCommand, _ namespace: NamespaceRecord, _ offset: Int, _ length: Int
  ) -> Outcome {
    let entry = command.entry
    var (ours, oursMetadata) = namespace.buffers(length)
    var (data, metadata) = namespace.buffers(length)
    if let refusal = namespace.refusal(of: entry) { return .refused(refusal) }
    guard namespace.read(&ours, &oursMetadata, at: offset) == 0 else { return .done(Self.readError, 0) }
    if let mismatch = namespace.mismatch(ours, oursMetadata, entry) { return .done(Status(mismatch), 0) }
    let status = gather(command, length: length, write: false)
    guard status.isSuccess else { return .done(status, 0) }
    data.withUnsafeMutableBytes { pieces.copy(to: $0) }
    if case .flipBit = command.fault { data[length / 2] ^= 0x10 }
    guard let host = iommu.translate(entry.metadata, metadata.count, write: false) else {
      return .refused(.dataTransferError)
    }
    memcpy(&metadata, host, metadata.count)
    if let mismatch = namespace.mismatch(data, metadata, entry) { return .done(Status(mismatch), 0) }
    statistics.reads &+= 1
    statistics.bytesRead &+= length
    return data == ours && namespace.isSame(metadata, oursMetadata) ? .success : .refused(.compareFailure)
  }

  /// Verify: the blocks are read, and checked against their protection information.
  mutating func verifyProtected(
    _ command: FetchedCommand, _ namespace: NamespaceRecord, _ offset: Int, _ length: Int
  ) -> Outcome {
    if let refusal = namespace.refusal(of: command.entry) { return .refused(refusal) }
    let step = 64 << namespace.shift
    var entry = command.entry
    for position in stride(from: offset, to: offset + length, by: step) {
      var (data, metadata) = namespace.buffers(min(step, offset + length - position))
      guard namespace.read(&data, &metadata, at: position) == 0 else { return .done(Self.readError, 0) }
      if let mismatch = namespace.mismatch(data, metadata, entry) { return .done(Status(mismatch), 0) }
      entry.referenceTag &+= 64
    }
    return .success
  }
}

extension NamespaceRecord {
  /// Buffers for `length` bytes of blocks, and for their metadata.
  fileprivate func buffers(_ length: Int) -> (data: [UInt8], metadata: [UInt8]) {
    (
      [UInt8](repeating: 0, count: length),
      [UInt8](repeating: 0, count: (length >> shift) * metadataSize)
    )
  }

  /// The status that refuses a command's protection information fields; nil when they are valid.
  fileprivate func refusal(of entry: SubmissionEntry) -> StatusCode? {
    let isCheck = [.compare, .verify].contains(IOOpcode(rawValue: entry.opcode))
    if isCheck, entry.protectionInformation.contains(.action) {
      return entry.opcode == IOOpcode.verify.rawValue ? .invalidField : .invalidProtectionInformation
    }
    guard let protection, entry.protectionInformation.contains(.reference) else { return nil }
    let isFirst = protection.referenceTag(entry.startingBlock) == entry.referenceTag
    return protection.type == 3 || protection.type == 1 && !isFirst ? .invalidProtectionInformation : nil
  }

  /// Whether a command transfers metadata between host and controller.
  fileprivate func transfersMetadata(_ entry: SubmissionEntry) -> Bool {
    !(protection?.isAllProtection == true && entry.protectionInformation.contains(.action))
  }

  /// Whether the metadata of blocks is equal, protection information aside.
  fileprivate func isSame(_ one: [UInt8], _ other: [UInt8]) -> Bool {
    guard let protection else { return one == other }
    return one.indices.allSatisfy { index in
      one[index] == other[index] || protection.isProtection(index % metadataSize)
    }
  }

  /// Where the metadata of the block at byte `offset` lies.
  func metadataOffset(_ offset: Int) -> Int { Int(blocks) << shift + (offset >> shift) * metadataSize }

  fileprivate func read(_ data: inout [UInt8], _ metadata: inout [UInt8], at offset: Int) -> Int32 {
    let failure = transfer(&data) { medium.read(into: $0, 1, at: offset) }
    guard failure == 0 else { return failure }
    let place = metadataOffset(offset)
    let other = transfer(&metadata) { medium.read(into: $0, 1, at: place) }
    invertProtection(&metadata)
    return other
  }

  fileprivate func write(_ data: inout [UInt8], _ metadata: inout [UInt8], at offset: Int) -> Int32 {
    let failure = transfer(&data) { medium.write($0, 1, at: offset) }
    guard failure == 0 else { return failure }
    invertProtection(&metadata)
    let place = metadataOffset(offset)
    return transfer(&metadata) { medium.write($0, 1, at: place) }
  }

  private func invertProtection(_ metadata: inout [UInt8]) {
    guard let protection else { return }
    for index in metadata.indices where protection.isProtection(index % metadataSize) {
      metadata[index] = ~metadata[index]
    }
  }

  private func transfer(_ bytes: inout [UInt8], _ body: (UnsafeMutablePointer<iovec>) -> Int32) -> Int32 {
    bytes.withUnsafeMutableBytes {
      var piece = iovec(iov_base: $0.baseAddress, iov_len: $0.count)
      return body(&piece)
    }
  }

  /// Calls `body` with each block, its metadata and its number in the command.
  private func forEachBlock(
    _ data: [UInt8], _ metadata: inout [UInt8],
    _ body: (UnsafeRawPointer, UnsafeMutableRawPointer, UInt32) -> Void
  ) {
    data.withUnsafeBytes { data in
      metadata.withUnsafeMutableBytes { metadata in
        guard let block = data.baseAddress, let tuple = metadata.baseAddress else { return }
        for index in 0..<data.count >> shift {
          body(block + index << shift, tuple + index * metadataSize, UInt32(truncatingIfNeeded: index))
        }
      }
    }
  }

  fileprivate func protect(_ data: [UInt8], _ metadata: inout [UInt8], _ entry: SubmissionEntry) {
    guard let protection else { return }
    forEachBlock(data, &metadata) { block, tuple, index in
      protection.protect(
        block, tuple, reference: protection.type == 3 ? entry.referenceTag : entry.referenceTag &+ index,
        application: UInt16(truncatingIfNeeded: entry.cdw15))
    }
  }

  fileprivate func mismatch(_ data: [UInt8], _ metadata: [UInt8], _ entry: SubmissionEntry) -> StatusCode? {
    guard let protection else { return nil }
    var metadata = metadata
    var mismatch: StatusCode?
    forEachBlock(data, &metadata) { block, tuple, index in
      guard mismatch == nil else { return }
      mismatch = protection.mismatch(
        block, tuple, entry.protectionInformation, reference: entry.referenceTag &+ index,
        application: UInt16(truncatingIfNeeded: entry.cdw15),
        mask: UInt16(truncatingIfNeeded: entry.cdw15 >> 16))
    }
    return mismatch
  }
}
