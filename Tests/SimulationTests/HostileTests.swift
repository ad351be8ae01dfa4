import Simulation
import Testing

/// A few of the images that `Tools/soak hostile` makes by the thousand.
@Suite struct HostileTests {
  /// Images that once broke a promise: what each lies about, and its seed.
  private static let former: [(LiedStructure, UInt64)] = [
    // Bytes behind a small file's contents that its map would take for entries.
    (.inode, 4446),
    // Blocks cut off that can never be freed.
    (.nodeTable, 8),
    // A mark that only memory may have.
    (.nodeTable, 728),
    // A segment that is called free although something lives in it.
    (.usage, 8327),
    // A segment that was last written in the future, and is waited for without end.
    (.usage, 226),
    // A name that no directory may show.
    (.directoryInode, 295),
    // A request that fails after it has asked for blocks.
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
