import PCI

/// The memory that blocks are read back into for a proof, and which entry each of its frames is for.
final class ReadBack {
  /// How many blocks are read at a time.
  static let frames = 32

  let arena: DMAArena
  /// The frame numbers, each a list of one.
  let frameList: UnsafeMutablePointer<UInt32>
  /// The place in `UnflushedWrites` of the entry that each frame is for.
  private var places = [UInt64](repeating: 0, count: ReadBack.frames)
  private var free = Array(0..<ReadBack.frames)
  private let function: any PCIFunction

  init(_ function: any PCIFunction) throws(FunctionError) {
    self.function = function
    arena = try DMAArena(
      frames: Self.frames, name: "varve-proof", isShared: function.needsSharedMemory)
    try function.map(arena)
    frameList = .allocate(capacity: Self.frames)
    for frame in 0..<Self.frames { (frameList + frame).initialize(to: UInt32(frame)) }
  }

  deinit {
    end()
    frameList.deallocate()
  }

  /// Unmaps the memory from the device, which must no longer use it.
  func end() { function.unmap(arena) }

  /// Whether no read is in flight.
  var isIdle: Bool { free.count == Self.frames }

  /// Takes a frame for an entry; nil when all are in use.
  func take(for place: UInt64) -> Int? {
    guard let frame = free.popLast() else { return nil }
    places[frame] = place
    return frame
  }

  /// Frees a frame.
  /// - Returns: the place of the entry that it was for.
  func give(_ frame: Int) -> UInt64 {
    free.append(frame)
    return places[frame]
  }
}
