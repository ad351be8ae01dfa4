import CMachine
import Glibc
import PCI

/// A mapped image file on tmpfs, which is in memory anyway: blocks are copied without a system call.
///
/// A mapping is safe only over pages the file has: an access to a hole would allocate memory, and raise
/// SIGBUS when there is none. So the medium tracks which pages the file has; reading a hole gives zeros, and
/// writing one goes through pwrite, whose failure is an errno. The remaining case, a file that another
/// process has truncated, is caught by `BusErrorGuard`.
///
/// Allocating a page costs far more than copying into one. So the file keeps deallocated pages, up to a
/// limit, for later writes, and allocates pages ahead of a sequential writer (`populate`). Both are filled
/// with zeros, so that the file always has the namespace's contents, for any other program that reads it too.
///
/// Everything but `populate`, `finish` and `copy` is for the controller's own thread.
struct MappedMedium {
  let file: ImageMedium
  let base: UnsafeMutableRawPointer
  /// How the file is mapped: PROT_READ, and PROT_WRITE where it may be written.
  let access: Int32
  /// Pages that hold written data; all others hold zeros, or will when a pending deallocation is finished.
  let present: PageMap
  /// Pages that the file has, including those that hold zeros.
  let resident: PageMap
  /// Chunks of `chunk` pages that are in the process's page tables.
  let mapped: PageMap
  let account: UnsafeMutablePointer<PageAccount>

  /// The size of a page in bytes.
  static let pageSize = 4096

  /// How many pages are mapped together.
  private static let chunk = 256

  var size: Int { file.size }

  @inline(__always)
  func read(into pieces: UnsafeMutablePointer<iovec>, _ count: Int, at offset: Int) -> Int32 {
    let before = BusErrorGuard.count
    var position = offset
    for index in 0..<count {
      let (target, length) = (pieces[index].iov_base, pieces[index].iov_len)
      if let target { readRange(into: target, position, length) }
      position += length
    }
    return BusErrorGuard.count == before ? 0 : remap()
  }

  @inline(__always)
  func write(_ pieces: UnsafeMutablePointer<iovec>, _ count: Int, at offset: Int) -> Int32 {
    var total = 0
    for index in 0..<count { total += pieces[index].iov_len }
    guard total > 0 else { return 0 }
    let pages = Self.pages(touching: offset..<offset + total)
    let failure =
      hasAll(pages) ? copy(pieces, count, at: offset) : file.write(pieces, count, at: offset)
    if failure == 0 { markPresent(pages) }
    return failure
  }

  /// Whether the file has all pages of a range, so that bytes can be copied there.
  ///
  /// They are mapped together with those around them: that takes a twelfth of the time of a page fault for
  /// each.
  @inline(__always)
  func hasAll(_ pages: Range<Int>) -> Bool {
    guard resident.containsAll(pages) else { return false }
    for number in pages.lowerBound / Self.chunk...(pages.upperBound - 1) / Self.chunk
    where !mapped.contains(number) { mapChunk(number) }
    return true
  }

  @inline(never)
  private func mapChunk(_ number: Int) {
    let pages = number * Self.chunk..<min((number + 1) * Self.chunk, size / Self.pageSize)
    // Populating a page that the file lacks would allocate it.
    guard resident.containsAll(pages) else { return }
    mapped.insert(number)
    // A failure is ignored: page faults then map the pages.
    _ = cm_populate_read(base + pages.lowerBound * Self.pageSize, pages.count * Self.pageSize)
  }

  /// Copies the pieces into pages that the file has. For any thread.
  func copy(_ pieces: UnsafeMutablePointer<iovec>, _ count: Int, at offset: Int) -> Int32 {
    let before = BusErrorGuard.count
    var position = offset
    for index in 0..<count {
      let (source, length) = (pieces[index].iov_base, pieces[index].iov_len)
      if let source { memcpy(base + position, source, length) }
      position += length
    }
    return BusErrorGuard.count == before ? 0 : remap()
  }

  // MARK: Deallocation

  /// The remaining work for a deallocated range; nothing may be written there before it is done.
  struct Deallocation {
    /// Bytes whose pages stay in the file, to be filled with zeros.
    var cleared: [Range<Int>] = []
    /// Bytes whose pages are to be punched out of the file.
    var punched: [Range<Int>] = []
  }

  /// Records that a range reads as zeros from now on. Its pages stay in the file for later writes, up to
  /// `PageAccount.limit`.
  func deallocate(at offset: Int, count: Int, _ rest: inout Deallocation) {
    let first = (offset + Self.pageSize - 1) / Self.pageSize
    let pages = first..<max((offset + count) / Self.pageSize, first)
    // Partial pages at both ends are cleared, not punched.
    addPart(offset..<min(pages.lowerBound * Self.pageSize, offset + count), &rest)
    addPart(
      max(pages.upperBound * Self.pageSize, offset)..<max(offset + count, pages.upperBound * Self.pageSize),
      &rest)
    let kept = rest.cleared.count
    addPresent(pages, &rest)
    guard account.pointee.kept > account.pointee.limit, !pages.isEmpty else { return }
    rest.cleared.removeSubrange(kept...)
    forget(pages)
    rest.punched.append(pages.lowerBound * Self.pageSize..<pages.upperBound * Self.pageSize)
  }

  /// Deallocates, here and now.
  func zero(at offset: Int, count: Int) -> Int32 {
    var rest = Deallocation()
    deallocate(at: offset, count: count, &rest)
    return finish(rest)
  }

  /// Does the remaining work. For any thread.
  /// - Returns: 0 or an errno.
  func finish(_ rest: Deallocation) -> Int32 {
    let before = BusErrorGuard.count
    for range in rest.cleared { memset(base + range.lowerBound, 0, range.count) }
    guard BusErrorGuard.count == before else { return remap() }
    for range in rest.punched {
      let failure = file.zero(at: range.lowerBound, count: range.count)
      guard failure == 0 else { return failure }
    }
    return 0
  }

  /// Adds a part of a page, if the page holds data.
  private func addPart(_ range: Range<Int>, _ rest: inout Deallocation) {
    guard !range.isEmpty, present.contains(range.lowerBound / Self.pageSize) else { return }
    rest.cleared.append(range)
  }

  /// Adds the pages of a range that hold data, and unmarks them.
  private func addPresent(_ pages: Range<Int>, _ rest: inout Deallocation) {
    var page = present.runEnd(from: pages.lowerBound, to: pages.upperBound, false)
    while page < pages.upperBound {
      let end = present.runEnd(from: page, to: pages.upperBound, true)
      for page in page..<end { present.remove(page) }
      account.pointee.kept += end - page
      rest.cleared.append(page * Self.pageSize..<end * Self.pageSize)
      page = present.runEnd(from: end, to: pages.upperBound, false)
    }
  }

  /// Unmarks pages that hold zeros and are about to be punched out.
  private func forget(_ pages: Range<Int>) {
    for page in pages where resident.contains(page) {
      resident.remove(page)
      mapped.remove(page / Self.chunk)
      account.pointee.kept -= 1
    }
    if let ahead = account.pointee.populating, ahead.overlaps(pages) {
      account.pointee.isPopulatingForNothing = true
    }
  }

  /// Punches out all pages that hold zeros because nothing was written there.
  func releaseZeroPages() {
    guard !account.pointee.keepsAll else { return }
    let end = size / Self.pageSize
    var page = 0
    while account.pointee.kept > 0, page < end {
      let start = page
      while page < end, resident.contains(page), !present.contains(page) { page += 1 }
      if page > start {
        forget(start..<page)
        _ = file.zero(at: start * Self.pageSize, count: (page - start) * Self.pageSize)
      } else {
        page += 1
      }
    }
  }

  // MARK: Pages ahead of a writer

  /// Checks whether a write continues an earlier one and the file lacks pages ahead of it.
  /// - Returns: the bytes to pass to `populate` in a worker thread.
  @inline(__always)
  func rangeToPopulate(afterWriting range: Range<Int>) -> Range<Int>? {
    guard account.pointee.streams.extend(range), account.pointee.populating == nil else { return nil }
    let last = min((range.upperBound + PageAccount.ahead) / Self.pageSize, size / Self.pageSize)
    guard range.upperBound / Self.pageSize < last, !resident.contains(last - 1),
      account.pointee.kept < account.pointee.limit
    else { return nil }
    let from = (range.upperBound + Self.pageSize - 1) / Self.pageSize
    // A writer that has caught up allocates the next pages itself, so populating starts behind them.
    let step = PageAccount.populatedAtOnce / Self.pageSize
    let start =
      resident.contains(from) ? resident.runEnd(from: from, to: last, true) : min(from + step, last - 1)
    let end = min(start + step, last)
    account.pointee.populating = start..<end
    account.pointee.isPopulatingForNothing = false
    return start * Self.pageSize..<end * Self.pageSize
  }

  /// Allocates pages of the file without changing their contents. For any thread.
  /// - Returns: 0 or an errno.
  func populate(_ range: Range<Int>) -> Int32 {
    cm_populate_write(base + range.lowerBound, range.count) == 0 ? 0 : errno
  }

  /// Records the end of `populate`, with its errno or 0.
  func populated(_ failure: Int32) {
    guard let pages = account.pointee.populating else { return }
    account.pointee.populating = nil
    guard failure == 0, !account.pointee.isPopulatingForNothing else { return }
    for page in pages where !resident.contains(page) {
      resident.insert(page)
      account.pointee.kept += 1
    }
  }

  // MARK: Account

  /// Records that the file has the pages of a range, and that they hold data.
  func markPresent(_ pages: Range<Int>) {
    for page in pages where !present.contains(page) {
      present.insert(page)
      if resident.contains(page) { account.pointee.kept -= 1 } else { resident.insert(page) }
    }
  }

  /// The pages that a range of bytes touches.
  @inline(__always)
  static func pages(touching range: Range<Int>) -> Range<Int> {
    range.lowerBound / pageSize..<(range.upperBound + pageSize - 1) / pageSize
  }

  // MARK: Copying

  @inline(__always)
  private func readRange(into target: UnsafeMutableRawPointer, _ position: Int, _ length: Int) {
    var done = 0
    while done < length {
      let first = (position + done) / Self.pageSize
      let last = Self.pages(touching: position..<position + length).upperBound
      let isPresent = present.contains(first)
      let end = present.runEnd(from: first, to: last, isPresent) * Self.pageSize
      let count = min(length - done, end - position - done)
      if isPresent {
        memcpy(target + done, base + position + done, count)
      } else {
        memset(target + done, 0, count)
      }
      done += count
    }
  }

  /// Maps the file again in place of the guard's substitute pages, so that the next access fails again rather
  /// than returning invented data.
  @inline(never)
  private func remap() -> Int32 {
    mmap(base, size, access, MAP_SHARED | MAP_FIXED, file.descriptor, 0)
    return EIO
  }
}
