import NVMeSpec
import PCI

/// The PRP entries of a transfer from or to arena frames (NVM Express Base 2.0, section 4.1.1).
///
/// With 4 KiB pages (CC.MPS = 0) every arena frame is one page, so each PRP entry is a frame's address, and
/// the offset into the first page is always 0.
@usableFromInline
enum PRPList {
  /// Entries in one list page.
  static let entriesPerPage = PRP.entries(pageSize: DMAArena.frameSize)

  /// How many list pages a transfer of `frames` frames needs: none up to two frames, whose addresses both
  /// stand in the command.
  static func pages(forFrames frames: Int) -> Int {
    frames > 2 ? PRP.listPages(entries: frames - 1, pageSize: DMAArena.frameSize) : 0
  }

  /// The address of frame `frame` for the device, `base` being that of frame 0.
  @inlinable @inline(__always)
  static func address(_ frame: UInt32, _ base: UInt64) -> UInt64 {
    base &+ UInt64(frame) &* UInt64(DMAArena.frameSize)
  }

  /// Writes a PRP list.
  /// - Parameters:
  ///   - frames: the frame numbers: all of the transfer but the first, which PRP1 names.
  ///   - count: how many; no more than the list has room for.
  ///   - base: the address of frame 0 for the device.
  ///   - list: the command's list pages, contiguous for both the processor and the device.
  ///   - listAddress: the address of `list` for the device.
  @usableFromInline
  static func write(
    frames: UnsafePointer<UInt32>, count: Int, base: UInt64, list: UnsafeMutablePointer<UInt64>,
    listAddress: UInt64
  ) {
    let usable = entriesPerPage &- 1
    var source = frames
    var page = list
    var remaining = count
    var pageAddress = listAddress
    while remaining > entriesPerPage {
      for entry in 0..<usable { page[entry] = address(source[entry], base) }
      pageAddress &+= UInt64(DMAArena.frameSize)
      page[usable] = pageAddress
      page += entriesPerPage
      source += usable
      remaining &-= usable
    }
    for entry in 0..<remaining { page[entry] = address(source[entry], base) }
  }
}
