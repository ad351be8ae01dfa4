/// Frame numbers for a device command, at an address that stays while it runs.
final class CommandFrames {
  private(set) var pointer: UnsafeMutablePointer<UInt32>
  private var capacity = 64

  init() { pointer = .allocate(capacity: capacity) }
  deinit { pointer.deallocate() }

  /// Takes over `frames`. No command may be using the old ones.
  func update(_ frames: [UInt32]) {
    if frames.count > capacity {
      pointer.deallocate()
      capacity = frames.count * 2
      pointer = .allocate(capacity: capacity)
    }
    for (index, frame) in frames.enumerated() { pointer[index] = frame }
  }
}
