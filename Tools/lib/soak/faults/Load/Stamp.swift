import PCI

/// What a block holds: 4 KiB that follow from its number and the version of its contents. Version 0 is zeros.
struct Stamp {
  /// The words of a frame.
  static let words = DMAArena.frameSize / 8

  let block: UInt64
  let version: UInt64

  private var seed: UInt64 { (version &* 0x9e37_79b9_7f4a_7c15) ^ (block &* 0xbf58_476d_1ce4_e5b9) }

  /// Fills a frame.
  func fill(_ frame: UnsafeMutableRawPointer) {
    let words = frame.assumingMemoryBound(to: UInt64.self)
    let step = version == 0 ? 0 : seed | 1
    var value: UInt64 = 0
    for index in 0..<Self.words {
      value &+= step
      words[index] = value
    }
  }

  /// Whether a frame holds just this.
  func matches(_ frame: UnsafeRawPointer) -> Bool {
    let words = frame.assumingMemoryBound(to: UInt64.self)
    let step = version == 0 ? 0 : seed | 1
    var value: UInt64 = 0
    for index in 0..<Self.words {
      value &+= step
      if words[index] != value { return false }
    }
    return true
  }
}
