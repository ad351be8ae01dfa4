import PCI
import PCIHost
import Testing

@Suite struct NUMATests {
  @Test func acceptsAnyNode() throws {
    for node in [0, 1, 63, 100_000, -1, Int.max] {
      let arena = try DMAArena(frames: 1)
      NUMA.prefer(node, for: arena.base, size: arena.size)
      arena.base.storeBytes(of: 1, as: UInt8.self)
    }
  }
}
