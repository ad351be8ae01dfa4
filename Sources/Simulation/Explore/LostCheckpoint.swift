import Checker
import Format

extension DiskImage {
  /// What is left when neither copy of the newest checkpoint can be read; nil when that was the only one.
  public func withoutNewestCheckpoint() -> DiskImage? {
    guard let found = try? Image(ImageReader(self)) else { return nil }
    var image = self
    for copy in 0...1 {
      let first = found.superblock.geometry.packBlock(slot: Int(found.pack.sequence & 1), copy: copy)
      for block in first..<first + found.superblock.geometry.packBlocks { image.unreadable.insert(block) }
    }
    return (try? Image(ImageReader(image))) == nil ? nil : image
  }
}
