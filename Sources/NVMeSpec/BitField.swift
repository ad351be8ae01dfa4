/// Access to a field of a register or command word by its lowest bit and its width, as in the specification's
/// figures.
extension UnsignedInteger where Self: FixedWidthInteger {
  /// The field of `width` bits whose lowest bit is `low`.
  @inlinable @inline(__always)
  package func field(_ low: Int, _ width: Int) -> Self {
    (self &>> Self(truncatingIfNeeded: low)) & Self.fieldMask(width)
  }

  /// Replaces the field of `width` bits whose lowest bit is `low`; bits of `value` beyond the width are
  /// dropped.
  @inlinable @inline(__always)
  package mutating func setField(_ low: Int, _ width: Int, _ value: Self) {
    let mask = Self.fieldMask(width)
    let shift = Self(truncatingIfNeeded: low)
    self = (self & ~(mask &<< shift)) | ((value & mask) &<< shift)
  }

  /// The single bit `low`.
  @inlinable @inline(__always)
  package func flag(_ low: Int) -> Bool { field(low, 1) != 0 }

  /// Sets or clears the single bit `low`.
  @inlinable @inline(__always)
  package mutating func setFlag(_ low: Int, _ value: Bool) { setField(low, 1, value ? 1 : 0) }

  @inlinable @inline(__always)
  package static func fieldMask(_ width: Int) -> Self {
    width >= bitWidth ? max : (1 &<< Self(truncatingIfNeeded: width)) &- 1
  }
}
