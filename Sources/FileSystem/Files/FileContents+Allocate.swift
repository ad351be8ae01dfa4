import Format

/// fallocate's modes, as in fallocate(2).
struct AllocateMode: OptionSet {
  let rawValue: UInt32
  static let keepSize = AllocateMode(rawValue: 0x01)
  static let punchHole = AllocateMode(rawValue: 0x02)
  static let zeroRange = AllocateMode(rawValue: 0x10)
}

extension FileContents {
  /// Blocks that the range overlaps, at least in part.
  static func touched(_ offset: UInt64, _ length: UInt64) -> Range<UInt64> {
    offset >> 12..<max(FileMap.blocks(offset + length), offset >> 12)
  }

  /// Blocks that lie wholly inside the range.
  static func covered(_ offset: UInt64, _ length: UInt64) -> Range<UInt64> {
    let first = FileMap.blocks(offset)
    return first..<max((offset + length) >> 12, first)
  }

  /// Whether a file's bytes stay in its inode when it grows to `end`.
  func staysInline(_ inode: Inode, end: UInt64) -> Bool {
    inode.layout == .inline && end <= UInt64(inode.inlineRoom)
  }

  func prepareAllocate(_ inode: Inode, mode: UInt32, offset: UInt64, length: UInt64) throws(Stop) {
    let mode = AllocateMode(rawValue: mode)
    guard !staysInline(inode, end: offset + length) else { return }
    try nodes.prepareNodes(FileMap.nodesPerWrite)
    try map.prepareMap(inode, Self.touched(offset, length))
    if !mode.contains(.keepSize), offset + length > inode.size { try prepareTail(inode) }
  }

  /// Does a part of an fallocate that the caller has limited to the blocks of one lowest map node. Bytes at
  /// the ends of the range that do not fill a block are not cleared here: the request writes zeros over them.
  func performAllocate(_ inode: Inode, mode: UInt32, offset: UInt64, length: UInt64, time: Int64) throws(Stop)
  {
    let mode = AllocateMode(rawValue: mode)
    let end = offset + length
    nodes.modify(inode.page)
    inode.changeTime = time
    inode.modificationTime = time
    let isInline = staysInline(inode, end: end)
    if mode.contains(.punchHole) || mode.contains(.zeroRange) {
      if inode.layout == .inline {
        let from = min(Int(clamping: offset), inode.inlineLength)
        let to = min(Int(clamping: end), inode.inlineLength)
        inode.page.clear(at: Inode.inlineStart + from, count: to - from)
      } else {
        let range = Self.covered(offset, length)
        var next = range.lowerBound
        while next < range.upperBound { next = try punchStep(inode, next..<range.upperBound) }
      }
    }
    guard !mode.contains(.punchHole) else { return }
    if !isInline {
      try makeMapped(inode)
      for index in Self.touched(offset, length) { try promise(inode, index) }
    }
    if !mode.contains(.keepSize), end > inode.size {
      if isInline { extendInline(inode, to: Int(end)) } else { try clearTail(inode, isUrgent: true) }
      inode.size = end
      uncommitted.setLoggedSize(inode.number, end)
    }
  }

  /// Reserves space for a hole.
  private func promise(_ inode: Inode, _ index: UInt64) throws(Stop) {
    let slot = try map.makeMapSlot(inode, index)
    if slot.entry.isHole { pages.reserve(inode, index, at: slot) }
  }
}
