import FileSystem

extension Mounter {
  /// Mounts the filesystem itself.
  /// - Parameter edit: changes its options.
  public static func fileSystem(_ edit: @escaping (inout Options) -> Void = { _ in }) -> Mounter {
    Mounter { memory, disk, scenario in
      var options = Options()
      options.checkpointBlocks = scenario.checkpointBlocks
      edit(&options)
      return FileSystem(
        memory: WorkingMemory(
          base: memory.base, firstFrame: UInt32(memory.firstFrame), frameCount: UInt32(memory.frameCount),
          slots: memory.slots),
        blockCount: disk.blockCount, hasVolatileCache: disk.profile.hasVolatileCache,
        canDiscard: disk.profile.canDiscard, options: options)
    }
  }
}
