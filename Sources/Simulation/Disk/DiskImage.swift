import Format

/// The contents of a disk: a version of each block, and which blocks cannot be read until they are written.
public struct DiskImage {
  public let pool: BlockPool
  public var versions: [UInt32]
  /// Blocks that a power cut left unreadable.
  public var unreadable: Set<UInt64> = []

  /// A disk of zeros.
  public init(pool: BlockPool, blockCount: UInt64) {
    self.pool = pool
    versions = [UInt32](repeating: 0, count: Int(clamping: blockCount))
  }

  /// A disk with a new filesystem.
  public init(pool: BlockPool, superblock: Superblock, owner: (uid: UInt32, gid: UInt32) = (0, 0)) {
    self.init(pool: pool, blockCount: superblock.geometry.blockCount)
    var written = versions
    Formatter(superblock).emit(owner: owner) { (block: UInt64, bytes: UnsafeRawBufferPointer, _: Bool) in
      guard let base = bytes.baseAddress else { return }
      for index in 0..<bytes.count / Page.size {
        written[Int(block) + index] = pool.add(base + index * Page.size)
      }
    }
    versions = written
  }

  /// A disk of `blockCount` blocks with a new filesystem whose identity the seed determines.
  public static func formatted(
    pool: BlockPool, blockCount: UInt64, segmentBlocks: UInt32? = nil, seed: UInt64 = 1
  ) throws(FormatError) -> DiskImage {
    let geometry = try Geometry.fitting(blockCount: blockCount, segmentBlocks: segmentBlocks)
    var random = SeededRandom(seed, stream: 0x6d6b6673)
    let superblock = Superblock(
      uuid: (0..<16).map { _ in UInt8(truncatingIfNeeded: random.next()) },
      nonce: Nonce(high: random.next(), low: random.next()), label: Array("simulated".utf8),
      geometry: geometry, created: SimulatedClock.start, hashKey: (random.next(), random.next()))
    return DiskImage(pool: pool, superblock: superblock)
  }

  public var blockCount: UInt64 { UInt64(versions.count) }

  /// The bytes of a block; nil when there is no such block or it cannot be read.
  public func bytes(_ block: UInt64) -> UnsafeRawPointer? {
    guard block < blockCount, unreadable.isEmpty || !unreadable.contains(block) else { return nil }
    return UnsafeRawPointer(pool.bytes(versions[Int(block)]))
  }
}
