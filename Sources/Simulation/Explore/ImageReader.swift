import Checker
import Format
import Glibc

/// A disk image as a `BlockReader` for the checker.
public final class ImageReader: BlockReader {
  private let image: DiskImage
  /// Which blocks were read.
  private(set) var blocksRead: [Bool]
  public var blockCount: UInt64 { image.blockCount }

  public init(_ image: DiskImage) {
    self.image = image
    blocksRead = [Bool](repeating: false, count: image.versions.count)
  }

  public func read(_ blocks: UnsafeBufferPointer<UInt64>, into memory: UnsafeMutableRawPointer)
    -> [BlockFailure]
  {
    var failures: [BlockFailure] = []
    for (index, block) in blocks.enumerated() {
      if let bytes = image.bytes(block) {
        blocksRead[Int(block)] = true
        (memory + index * Page.size).copyMemory(from: bytes, byteCount: Page.size)
      } else {
        failures.append(BlockFailure(block: block, errno: EIO))
      }
    }
    return failures
  }

  /// What the checker finds wrong with an image that was unmounted in order; nil when nothing is.
  /// - Parameter isSettled: whether all unreachable inodes and detached trees must have been freed.
  public static func fault(_ image: DiskImage, isSettled: Bool = false) -> String? {
    do {
      let report = try Checker.check(ImageReader(image))
      if isSettled, report.orphans > 0 { return "\(report.orphans) inodes without a name were not freed" }
      guard !report.isClean else { return nil }
      return "fsck: "
        + report.findings.filter { $0.severity > .note }.prefix(3).map(\.description).joined(separator: "; ")
    } catch {
      return "fsck: \(error)"
    }
  }
}
