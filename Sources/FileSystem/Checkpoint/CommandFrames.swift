/// Frame numbers for a device command, at an address that stays valid while the command is under way.
final class CommandFrames {
  private(set) var pointer: UnsafeMutablePointer<UInt32>
  private var capacity = 64

  init() { pointer = .allocate(capacity: capacity) }
  deinit { pointer.deallocate() }

  /// Copies `frames`, replacing the old ones, which no command may be using.
  func update(_ frames: [UInt32]) {
    if frames.count > capacity {
      pointer.deallocate()
      capacity = frames.count * 2
      pointer = .allocate(capacity: capacity)
    }
    for (index, frame) in frames.enumerated() { pointer[index] = frame }
  }
}
