/// Why an on-disk structure cannot be used.
public enum FormatError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The device has no Varve superblock.
  case notVarve
  /// There is a Varve superblock, but it is damaged.
  case damagedSuperblock(String)
  /// Neither copy of the superblock can be read.
  case unreadableSuperblock
  /// Only the last block holds a superblock, which may be a former filesystem's: the first cannot be read, or
  /// is no Varve superblock.
  case lastSuperblockOnly(isFirstReadable: Bool)
  /// A version this program does not know.
  case unknownVersion(UInt32)
  /// Features this program does not know, as bits.
  case unknownFeatures(UInt64)
  /// The namespace is smaller than the filesystem made on it.
  case truncated(expected: UInt64, found: UInt64)
  /// The namespace or the chosen geometry is too small or too large.
  case badSize(String)

  public var description: String {
    switch self {
    case .notVarve: "it holds no Varve filesystem"
    case .damagedSuperblock(let what): "the superblock is damaged (\(what)); run fsck.varve"
    case .unreadableSuperblock:
      "its first block cannot be read, and its last block is no copy of a superblock"
    case .lastSuperblockOnly(let isFirstReadable):
      "its first block \(isFirstReadable ? "is no Varve superblock" : "cannot be read"), but its last is a copy of one, perhaps "
        + "of a former filesystem; if you are sure that this one is not: fsck.varve --last-superblock"
    case .unknownVersion(let version): "on-disk format version \(version) is not known; use a newer varve"
    case .unknownFeatures(let bits):
      "the filesystem uses features not known here (bits 0x\(String(bits, radix: 16))); use a newer varve"
    case .truncated(let expected, let found):
      "the device has \(found) blocks of 4 KiB, the filesystem needs \(expected); restore the device's size"
    case .badSize(let what): what
    }
  }
}
