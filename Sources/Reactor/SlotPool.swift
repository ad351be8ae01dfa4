/// The free slots, last used first, as its memory is still in the processor's cache.
struct SlotPool: ~Copyable {
  private let slots: UnsafeMutablePointer<UInt32>
  private let capacity: Int
  /// How many are free.
  private(set) var free: Int

  init(count: Int) {
    capacity = count
    free = count
    slots = .allocate(capacity: count)
    for index in 0..<count { (slots + index).initialize(to: UInt32(count - 1 - index)) }
  }

  deinit { slots.deallocate() }

  /// Whether no slot is in use.
  var isFull: Bool { free == capacity }

  /// Takes a slot, or nil when none is free.
  @inline(__always)
  mutating func take() -> Int? {
    guard free > 0 else { return nil }
    free -= 1
    return Int(slots[free])
  }

  /// Frees a slot that `take` returned.
  @inline(__always)
  mutating func give(_ slot: Int) {
    precondition(free < capacity, "a slot was given back twice")
    slots[free] = UInt32(slot)
    free += 1
  }
}
