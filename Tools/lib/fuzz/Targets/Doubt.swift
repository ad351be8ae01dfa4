/// What a hostile controller or host does next: taken from an input byte by byte, or drawn from a seed without end.
///
/// An input that has come to its end doubts nothing any more, so that a run ends in order.
public struct Doubt {
  private let input: [UInt8]
  private var position = 0
  private var state: UInt64
  private let isEndless: Bool

  /// Doubt that follows an input.
  public init(_ input: UnsafeRawBufferPointer) {
    self.input = Array(input)
    state = 0
    isEndless = false
  }

  /// Doubt without end.
  public init(seed: UInt64) {
    input = []
    state = seed
    isEndless = true
  }

  /// Whether there is any left.
  public var isLeft: Bool { isEndless || position < input.count }

  /// One of `count` things, the first once nothing is left.
  public mutating func choice(of count: UInt8) -> UInt8 {
    guard isEndless else {
      guard position < input.count else { return 0 }
      position += 1
      return input[position - 1] % count
    }
    return UInt8(truncatingIfNeeded: bits() % UInt64(count))
  }

  /// Whether something of which `honest` in 16 are as they should be is not.
  public mutating func strikes(_ honest: UInt8) -> Bool { isLeft && choice(of: 16) >= honest }

  /// 64 bits: of the input as far as it goes, made up otherwise.
  public mutating func bits() -> UInt64 {
    if !isEndless, position < input.count {
      var value: UInt64 = 0
      for index in 0..<min(8, input.count - position) {
        value |= UInt64(input[position + index]) << UInt64(8 * index)
      }
      position = min(position + 8, input.count)
      state ^= value
      return value
    }
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  /// Lays bits over data, here and there.
  public mutating func spoil(_ data: UnsafeMutableRawBufferPointer) {
    for _ in 0..<choice(of: 64) where data.count >= 8 {
      let place = Int(bits() % UInt64(data.count - 7))
      data.storeBytes(of: bits(), toByteOffset: place, as: UInt64.self)
    }
  }
}
