/// Why an on-disk structure cannot be used.
public enum FormatError: Error, Equatable, Sendable, CustomStringConvertible {
  /// No superblock of ours.
  case notVarve
  /// The superblock says it is ours, but is damaged.
  case damagedSuperblock(String)
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
    case .notVarve: "no varve filesystem found; make one with mkfs.varve"
    case .damagedSuperblock(let what): "the superblock is damaged (\(what)); run fsck.varve"
    case .unknownVersion(let version): "on-disk format version \(version) is not known; use a newer varve"
    case .unknownFeatures(let bits):
      "the filesystem uses features not known here (bits 0x\(String(bits, radix: 16))); use a newer varve"
    case .truncated(let expected, let found):
      "the device has \(found) blocks of 4 KiB, the filesystem needs \(expected); restore the device's size"
    case .badSize(let what): what
    }
  }
}
