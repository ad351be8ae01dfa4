/// The choice between the superblock's two copies.
///
/// The copy in the last block stays when another program writes to the beginning of a device: a partition
/// table (which leaves most of the first block unchanged), another filesystem, a volume's header. So it is
/// used only where the first block differs from it in a few bytes.
extension Superblock {
  /// Takes the superblock from its copies.
  /// - Parameters:
  ///   - first: the filesystem's first block; nil where it cannot be read.
  ///   - last: its last block; nil where it cannot be read, or is not known.
  /// - Returns: the superblock, and what is wrong with the first copy where the second had to be used.
  /// - Throws: `FormatError` when neither can be used.
  public static func choose(first: Page?, last: Page?) throws(FormatError) -> (
    Superblock, fault: FormatError?
  ) {
    let fault: FormatError
    if let first {
      do throws(FormatError) { return (try Superblock(decoding: first), nil) } catch { fault = error }
    } else {
      fault = .unreadableSuperblock
    }
    switch fault {
    case .notVarve, .damagedSuperblock, .unreadableSuperblock: break
    default: throw fault
    }
    guard let last, let second = try? Superblock(decoding: last) else { throw fault }
    guard let first else { throw .lastSuperblockOnly(isFirstReadable: false) }
    guard isDamagedCopy(first, of: last) else { throw .lastSuperblockOnly(isFirstReadable: true) }
    return (second, fault)
  }

  /// Bytes in which a damaged first copy may differ from the second, at most: fewer than any partition table
  /// has.
  private static let damagedBytes = 8

  private static func isDamagedCopy(_ block: Page, of other: Page) -> Bool {
    var difference = 0
    for at in 0..<Page.size where block.load(UInt8.self, at: at) != other.load(UInt8.self, at: at) {
      difference += 1
      if difference > damagedBytes { return false }
    }
    // The signature of a boot sector, which is not there by chance.
    return block.load(UInt16.self, at: 510) != 0xAA55
  }
}
