/// The memory a filesystem works in: frames of 4 KiB of one arena that the device can reach.
public struct WorkingMemory: @unchecked Sendable {
  /// The least number of frames a filesystem can work with.
  public static let minimumFrames: UInt32 = 2048

  /// Frame 0 of the arena.
  public let base: UnsafeMutableRawPointer
  /// The first frame of the filesystem's cache; those before it belong to the request slots.
  public let firstFrame: UInt32
  public let frameCount: UInt32
  /// Requests that can be in flight at once.
  public let slots: Int

  public init(base: UnsafeMutableRawPointer, firstFrame: UInt32, frameCount: UInt32, slots: Int) {
    self.base = base
    self.firstFrame = firstFrame
    self.frameCount = frameCount
    self.slots = slots
  }
}
