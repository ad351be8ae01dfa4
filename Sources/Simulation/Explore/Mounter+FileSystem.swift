import FileProtocol
import FileSystem

extension Mounter {
  /// Mounts the real filesystem, not a test's imitation.
  /// - Parameter edit: changes its options.
  public static func fileSystem(_ edit: @escaping (inout Options) -> Void = { _ in }) -> Mounter {
    Mounter { memory, disk, scenario in
      disk.segmentGuard = SegmentGuard(disk.image)
      return FileSystem.simulated(memory, disk) {
        let shape = scenario.shape
        $0.checkpointBlocks = shape.checkpointBlocks > 0 ? shape.checkpointBlocks : scenario.checkpointBlocks
        $0.commitInterval = shape.commitInterval
        $0.borrowedBlocks = shape.borrowedBlocks
        $0.discards = shape.discards
        $0.missSeed = shape.missSeed
        $0.readOnly = shape.readsOnly
        $0.checkpointNodesPerStep = shape.checkpointNodesPerStep
        edit(&$0)
      }
    }
  }
}

extension FileSystem {
  /// The filesystem of a simulated disk.
  /// - Parameter edit: changes its options.
  static func simulated(
    _ memory: SimulatedMemory, _ disk: SimulatedDisk, _ edit: (inout Options) -> Void = { _ in }
  ) -> FileSystem {
    var options = Options()
    // Both paths of a write are taken, although simulated writes are small.
    options.borrowedBlocks = 2
    edit(&options)
    return FileSystem(
      memory: WorkingMemory(
        base: memory.base, firstFrame: UInt32(memory.firstFrame), frameCount: UInt32(memory.frameCount),
        slots: memory.slots),
      blockCount: disk.blockCount, hasVolatileCache: disk.profile.hasVolatileCache,
      canDiscard: disk.profile.canDiscard, options: options)
  }
}
