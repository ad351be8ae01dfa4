/// The tag of a device command: which owner it is for, and which frame, log write or slot.
struct Tag {
  enum Kind: UInt8 {
    case unknown, load, read, logWrite, flush, checkpoint, discard, cleanerRead, mount, errorRecord
  }

  let raw: UInt64

  init(raw: UInt64) { self.raw = raw }

  init(_ kind: Kind, _ value: UInt64 = 0) { raw = UInt64(kind.rawValue) << 56 | value }

  /// A read of `count` blocks into a slot, from its block `first` on.
  init(readFor slot: Int, first: Int, count: Int) {
    self.init(.read, UInt64(slot) << 32 | UInt64(first) << 16 | UInt64(count))
  }

  var kind: Kind { Kind(rawValue: UInt8(truncatingIfNeeded: raw >> 56)) ?? .unknown }
  var value: UInt64 { raw & 0x00FF_FFFF_FFFF_FFFF }
  var slot: Int { Int(value >> 32) }
  var first: Int { Int((value >> 16) & 0xFFFF) }
  var count: Int { Int(value & 0xFFFF) }
}
