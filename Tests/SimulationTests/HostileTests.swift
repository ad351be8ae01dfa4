import Simulation
import Testing

/// A few of the images that `Tools/soak hostile` makes by the thousand.
@Suite struct HostileTests {
  /// Images that once broke a promise: the structure with a wrong value, and the seed.
  private static let former: [(LiedStructure, UInt64)] = [
    // Bytes after a small file's contents that would be read as map entries.
    (.inode, 4446),
    // A detached tree that can never be freed.
    (.nodeTable, 8),
    // A mark that is allowed only in memory.
    (.nodeTable, 728),
    // A segment in state free with live blocks.
    (.usage, 8327),
    // A segment whose age is in the future, so that it never came free.
    (.usage, 226),
    // A name that no directory may have.
    (.directoryInode, 295),
    // A request that fails after it has begun reads.
    (.directoryInode, 5905),
  ]

  @Test func whatLiesDoesNoHarm() throws {
    let proof = try HostileProof()
    for (structure, seed) in Self.former {
      do { _ = try proof.run(structure, seed: seed) } catch {
        Issue.record("\(structure) \(seed): \(error)")
      }
    }
  }
}
