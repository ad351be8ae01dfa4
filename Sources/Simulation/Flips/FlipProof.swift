import Checker
import FileProtocol
import FileSystem
import Format
import Glibc

/// Flips single bits of a full disk: a read must then return right data or an error, and the checker must
/// find the flip.
///
/// A block is live when the checker reads it, or when a flip in it makes a mount that reads everything fail:
/// a flip in such a block must be found. (A mount also reads the block where the log would go on, which may
/// hold anything.)
public final class FlipProof {
  /// What one flip led to.
  public enum Outcome: Sendable, Equatable {
    /// Neither the mount nor the checker needs the block.
    case unused
    /// The checker finds it; `refusals` replies of the mount were EIO, none when there was a second copy.
    case found(refusals: Int)
    /// The filesystem would not mount, and the checker says why.
    case refused
    /// The promise is broken.
    case broken(String)
  }

  private let pool = BlockPool()
  private let memory = SimulatedMemory()
  private let image: DiskImage
  private let truth: Recovered
  /// For each block whether the checker reads it.
  private let isLive: [Bool]

  /// Fills a disk and reads it once.
  /// - Throws: `SimulationFailure` when the disk cannot be filled, or does not read back as written.
  public init(blockCount: UInt64, seed: UInt64) throws {
    let disk = try FullDisk(pool: pool, memory: memory, blockCount: blockCount, seed: seed)
    image = disk.image
    let harness = Self.harness(SimulatedDisk(image, seed: seed), memory)
    try harness.mount()
    truth = try Recovered(harness)
    try Self.verify(truth, disk.contents)
    let reader = ImageReader(image)
    guard try Checker.check(reader).isClean else {
      throw SimulationFailure("fsck finds faults in a fresh disk")
    }
    isLive = reader.blocksRead
  }

  private static func harness(_ disk: SimulatedDisk, _ memory: SimulatedMemory) -> Harness {
    Harness(service: FileSystem.simulated(memory, disk) { $0.readOnly = true }, disk: disk, memory: memory)
  }

  private static func verify(_ truth: Recovered, _ contents: [String: [UInt8]]) throws {
    for (path, content) in contents {
      var node = truth.nodes[1]
      for name in path.split(separator: "/") {
        node = node?.entries[String(name)].flatMap { truth.nodes[$0] }
      }
      guard node?.content == content else { throw SimulationFailure("\(path) was not written right") }
    }
  }

  /// The number of blocks that the checker reads.
  public var liveBlocks: Int { isLive.count { $0 } }

  /// The number of bits a flip chooses from.
  public var bitCount: UInt64 { image.blockCount * UInt64(Page.size) * 8 }

  /// Flips one bit, mounts, reads everything and checks.
  public func flip(bit: UInt64) -> Outcome {
    let block = bit / UInt64(Page.size * 8)
    return pool.scratch { judge(damaged(block, bit: Int(bit % UInt64(Page.size * 8))), block) }
  }

  private func damaged(_ block: UInt64, bit: Int) -> DiskImage {
    var copy = image
    let version = pool.add(pool.bytes(image.versions[Int(block)]))
    let byte = pool.bytes(version) + bit / 8
    byte.storeBytes(of: byte.load(as: UInt8.self) ^ (1 << UInt8(bit % 8)), as: UInt8.self)
    copy.versions[Int(block)] = version
    return copy
  }

  private func judge(_ image: DiskImage, _ block: UInt64) -> Outcome {
    let isFound = ImageReader.fault(image) != nil
    let harness = Self.harness(SimulatedDisk(image), memory)
    do {
      guard try mounts(harness) else { return isFound ? .refused : .broken("does not mount; fsck is silent") }
      let reading = try DamagedReading(harness, truth: truth)
      if let lie = reading.lies.first { return .broken(lie) }
      if isFound { return .found(refusals: reading.refusals) }
      guard !isLive[Int(block)] else { return .broken("fsck is silent") }
      return reading.refusals == 0 ? .unused : .broken("\(reading.refusals) errors; fsck is silent")
    } catch {
      return .broken("\(error)")
    }
  }

  private func mounts(_ harness: Harness) throws -> Bool {
    do { try harness.mount() } catch {
      guard harness.service.failure != nil else { throw error }
      return false
    }
    return true
  }
}
