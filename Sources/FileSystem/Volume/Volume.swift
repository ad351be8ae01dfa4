import Format

/// The device, and what its superblock says of the filesystem on it.
///
/// Owns these constants: size and capabilities of the device from the beginning; geometry, nonce, checksum
/// seed and directory hash key once recovery has read the superblock (`adopt`). They never change after that.
final class Volume {
  /// The device's size in 4 KiB blocks.
  let blockCount: UInt64
  let hasVolatileCache: Bool
  let canDiscard: Bool
  private(set) var superblock: Superblock?
  private(set) var geometry = Geometry.none
  private(set) var nonce = Nonce(high: 0, low: 0)
  private(set) var checksum = Checksum.unseeded
  private(set) var hash = DirectoryHash(key: (0, 0))

  init(blockCount: UInt64, hasVolatileCache: Bool, canDiscard: Bool) {
    self.blockCount = blockCount
    self.hasVolatileCache = hasVolatileCache
    self.canDiscard = canDiscard
  }

  /// Takes over the values of a superblock that was found valid.
  func adopt(_ superblock: Superblock) {
    self.superblock = superblock
    geometry = superblock.geometry
    nonce = superblock.nonce
    checksum = Checksum(nonce: superblock.nonce)
    hash = DirectoryHash(key: superblock.hashKey)
  }
}

extension Geometry {
  /// A placeholder until the superblock has been read.
  static let none: Geometry = {
    // The smallest geometry is always valid.
    guard let geometry = try? Geometry.fitting(blockCount: 16384) else {
      preconditionFailure("impossible geometry")
    }
    return geometry
  }()
}
