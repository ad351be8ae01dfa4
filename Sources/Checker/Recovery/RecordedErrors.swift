import Format

/// The record of a filesystem's errors since its last full check.
public enum RecordedErrors {
  /// Reads the record; returns one without errors where there is none, or it cannot be read.
  public static func read(_ image: any BlockReader, _ superblock: Superblock) -> ErrorRecord {
    guard let block = superblock.geometry.errorBlock else { return ErrorRecord() }
    return withPage { page in
      guard image.readBlock(block, into: page.base) else { return ErrorRecord() }
      return ErrorRecord(decoding: page, checksum: Checksum(nonce: superblock.nonce))
    }
  }

  /// Writes the record.
  /// - Throws: why it could not be written.
  public static func write(
    _ record: ErrorRecord, _ image: any BlockWriter, _ superblock: Superblock
  ) throws(BlockFailure) {
    guard let block = superblock.geometry.errorBlock else { return }
    let failure: BlockFailure? = withPage { page in
      record.encode(into: page, checksum: Checksum(nonce: superblock.nonce))
      do throws(BlockFailure) {
        try image.write(UnsafeRawBufferPointer(start: page.base, count: Page.size), at: block)
        try image.flush()
        return nil
      } catch { return error }
    }
    if let failure { throw failure }
  }

  private static func withPage<Result>(_ body: (Page) -> Result) -> Result {
    let memory = UnsafeMutableRawPointer.allocate(byteCount: Page.size, alignment: 16)
    defer { memory.deallocate() }
    return body(Page(memory))
  }
}
