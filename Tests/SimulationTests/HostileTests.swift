import Format
import Testing

@testable import Simulation

/// Images in which one structure is wrong and every checksum is right: those that once broke a promise.
/// `Tools/soak hostile` makes others by the thousand.
@Suite struct HostileTests {
  /// A change that makes an image hostile, and what must not come of it.
  private struct Lie: Sendable {
    let promise: String
    let tell: @Sendable (inout SealedImage, StructureCatalog) throws -> Void
  }

  private static let lies = [
    Lie(promise: "bytes after a small file's contents are not read as map entries once it grows") {
      image, catalog in
      let inodes = catalog.inodes(of: image)
      let file = try #require(
        inodes.first { $0.isRegular && $0.layout == .inline && (1..<256).contains($0.size) })
      let stranger = try #require(image.entry(.inodeTable, level: -1, index: file.number))
      image.editTable(.inodeTable, level: -1, index: file.number) { page in
        for slot in 16..<Inode.directEntries { stranger.store(page, at: file.directOffset(slot)) }
      }
    },
    Lie(promise: "nothing waits for a detached tree that cannot be freed, because its root is lost") {
      image, catalog in
      let root = try #require(catalog.inodes(of: image).first { $0.detachedRoot != 0 }).detachedRoot
      image.editTable(.internalTable, level: 0, index: root >> 8) { page in
        Entry().store(page, at: Int(root & 255) * Entry.size)
      }
    },
    Lie(promise: "a detached tree that contains itself is not freed for ever") { image, catalog in
      let root = try #require(catalog.inodes(of: image).first { $0.detachedRoot != 0 }).detachedRoot
      image.editTable(.internalTable, level: -1, index: root) { page in
        for at in stride(from: 0, to: Page.size, by: Entry.size) where Entry(page, at: at).address != 0 {
          Entry(address: root).store(page, at: at)
        }
      }
    },
    Lie(promise: "a mark that a number is allocated counts only in memory") { image, _ in
      image.editTable(.internalTable, level: 0, index: 0) { page in
        for at in stride(from: 0, to: Page.size, by: Entry.size) where Entry(page, at: at).address != 0 {
          var entry = Entry(page, at: at)
          entry.flags = Entry.allocated
          entry.store(page, at: at)
        }
      }
    },
    Lie(promise: "a segment with live blocks is not written, although its state is free") { image, _ in
      let segments = 0..<Int(image.geometry.segmentCount)
      image.editUsage(0) { page in
        for segment in segments {
          page.store(
            UInt32(UsageEntry.State.free.rawValue), UsageEntry.fields.state, of: segment * UsageEntry.size)
        }
      }
    },
    Lie(promise: "nothing waits for an empty segment that was last written in the future") { image, _ in
      let segments = 0..<Int(image.geometry.segmentCount)
      image.editUsage(0) { page in
        guard let segment = segments.first(where: { UsageEntry(page, index: $0).live == 0 }) else { return }
        UsageEntry(live: 0, state: .used, age: 1 << 40).store(page, index: segment)
      }
    },
    Lie(promise: "a name that no directory may have is not listed") { image, catalog in
      let inodes = catalog.inodes(of: image).filter { $0.isDirectory && $0.id != .orphans }
      let directory = try #require(inodes.first { $0.layout == .inline && $0.entryCount == 2 })
      image.editTable(.inodeTable, level: -1, index: directory.number) { page in
        let entries = DirectoryEntries(Inode(page))
        page.store(UInt8(ascii: "/"), at: entries.start + DirectoryRecord.fixedSize)
      }
    },
  ]

  @Test func whatLiesDoesNoHarm() throws {
    let proof = try HostileProof()
    for lie in Self.lies {
      do {
        _ = try proof.run(editing: lie.tell)
      } catch {
        Issue.record("\(lie.promise): \(error)")
      }
    }
  }
}

extension StructureCatalog {
  /// All inodes of an image.
  fileprivate func inodes(of image: SealedImage) -> [Inode] {
    inodes.compactMap { image.tablePage(.inodeTable, level: -1, index: $0.number) }.map { Inode($0) }
  }
}
