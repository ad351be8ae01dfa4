import CMachine
import NVMeSpec

/// Follows PRP entries to the memory they name (Base 2.0, section 4.1.1).
enum PRPWalker {
  /// Appends the `length` bytes a command's PRP1 and PRP2 name to `pieces`.
  /// - Parameter write: whether the controller will write there.
  /// - Returns: success, PRP Offset Invalid, or Data Transfer Error for memory that is not mapped.
  @inline(__always)
  static func walk(
    _ entry: borrowing SubmissionEntry, length: Int, pageShift: Int, write: Bool, iommu: inout IOMMU,
    pieces: inout PieceList
  ) -> Status {
    let mask = (UInt64(1) &<< UInt64(pageShift)) &- 1
    guard entry.prp1 & 3 == 0 else { return Status(.invalidPRPOffset, doNotRetry: true) }
    let first = min(length, (1 &<< pageShift) - Int(entry.prp1 & mask))
    guard let pointer = iommu.translate(entry.prp1, first, write: write) else {
      return Status(.dataTransferError, doNotRetry: true)
    }
    pieces.append(pointer, first)
    if first == length { return .success }
    return walkRest(
      entry.prp2, length: length - first, pageShift: pageShift, write: write, iommu: &iommu, pieces: &pieces)
  }

  /// Follows PRP2: the second page, or a list.
  @inline(never)
  private static func walkRest(
    _ prp2: UInt64, length: Int, pageShift: Int, write: Bool, iommu: inout IOMMU, pieces: inout PieceList
  ) -> Status {
    if length <= 1 << pageShift {
      return page(prp2, length, pageShift, write, &iommu, &pieces)
    }
    guard prp2 & 7 == 0 else { return Status(.invalidPRPOffset, doNotRetry: true) }
    var list = prp2
    var rest = length
    while true {
      let room = ((1 << pageShift) - Int(list & ((1 << UInt64(pageShift)) - 1))) / PRP.entrySize
      let pages = (rest + (1 << pageShift) - 1) >> pageShift
      let chained = pages > room
      let used = min(pages, room)
      guard let entries = iommu.translate(list, used * PRP.entrySize, write: false) else {
        return Status(.dataTransferError, doNotRetry: true)
      }
      for index in 0..<(chained ? used - 1 : used) {
        let address = cm_load64(entries + index * PRP.entrySize)
        let count = min(rest, 1 << pageShift)
        let status = page(address, count, pageShift, write, &iommu, &pieces)
        guard status.isSuccess else { return status }
        rest -= count
      }
      guard chained else { return .success }
      list = cm_load64(entries + (used - 1) * PRP.entrySize)
      // A chained list page begins at a page boundary, so every step names more data and the walk ends.
      guard list & ((1 << UInt64(pageShift)) - 1) == 0 else {
        return Status(.invalidPRPOffset, doNotRetry: true)
      }
    }
  }

  /// One page, which must be named by its first byte.
  @inline(__always)
  private static func page(
    _ address: UInt64, _ length: Int, _ pageShift: Int, _ write: Bool, _ iommu: inout IOMMU,
    _ pieces: inout PieceList
  ) -> Status {
    guard address & ((1 &<< UInt64(pageShift)) &- 1) == 0 else {
      return Status(.invalidPRPOffset, doNotRetry: true)
    }
    guard let pointer = iommu.translate(address, length, write: write) else {
      return Status(.dataTransferError, doNotRetry: true)
    }
    pieces.append(pointer, length)
    return .success
  }
}
