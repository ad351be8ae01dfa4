/// The addresses that a device may use (IOVAs), and which of them are free.
///
/// The IOMMU reports the valid ranges: they have holes, such as the one for interrupt messages on x86.
struct AddressSpace {
  /// The free ranges, by address; they neither overlap nor touch.
  private(set) var free: [ClosedRange<UInt64>] = []
  /// The granule, a power of two; every piece starts and ends on it.
  let granule: UInt64

  /// The space of `ranges`, cut to whole granules and without address 0, which specifications use for "none".
  init(ranges: [ClosedRange<UInt64>], granule: UInt64) {
    self.granule = granule
    for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
      let (rounded, overflow) = max(range.lowerBound, 1).addingReportingOverflow(granule - 1)
      let start = rounded & ~(granule - 1)
      // The end of a range may not fit in 64 bits; the last granule of the address space is left out then.
      let end = (range.upperBound == .max ? .max : range.upperBound + 1) & ~(granule - 1)
      guard !overflow, start < end else { continue }
      insert(start...(end - 1))
    }
  }

  /// Takes `size` bytes, aligned to `alignment` (a power of two), at the lowest free address.
  /// - Returns: the first address; nil when no free range is large enough.
  mutating func allocate(_ size: UInt64, alignment: UInt64) -> UInt64? {
    guard size > 0, let length = rounded(size) else { return nil }
    let mask = max(alignment, granule) - 1
    for (index, range) in free.enumerated() {
      let (sum, overflow) = range.lowerBound.addingReportingOverflow(mask)
      let start = sum & ~mask
      guard !overflow, start <= range.upperBound, range.upperBound - start >= length - 1 else { continue }
      let end = start + (length - 1)
      free.remove(at: index)
      if end < range.upperBound { free.insert(end + 1...range.upperBound, at: index) }
      if range.lowerBound < start { free.insert(range.lowerBound...start - 1, at: index) }
      return start
    }
    return nil
  }

  /// Frees what `allocate` returned for `size`.
  mutating func release(_ start: UInt64, _ size: UInt64) {
    guard size > 0, let length = rounded(size) else { return }
    insert(start...start + (length - 1))
  }

  private func rounded(_ size: UInt64) -> UInt64? {
    let (sum, overflow) = size.addingReportingOverflow(granule - 1)
    return overflow ? nil : sum & ~(granule - 1)
  }

  /// Inserts a range in order and joins it with adjacent ones.
  private mutating func insert(_ range: ClosedRange<UInt64>) {
    var joined = range
    let index = free.firstIndex { $0.lowerBound > range.lowerBound } ?? free.count
    var replaced = index..<index
    if index < free.count, free[index].lowerBound - 1 <= joined.upperBound {
      joined = joined.lowerBound...max(joined.upperBound, free[index].upperBound)
      replaced = replaced.lowerBound..<index + 1
    }
    if index > 0, free[index - 1].upperBound >= joined.lowerBound - 1 {
      joined = free[index - 1].lowerBound...max(joined.upperBound, free[index - 1].upperBound)
      replaced = index - 1..<replaced.upperBound
    }
    free.replaceSubrange(replaced, with: CollectionOfOne(joined))
  }
}
