import TestSupport
import Testing

@testable import NVMe

@Suite struct PRPListTests {
  /// The frame addresses of a transfer of three frames or more, read by following PRPs as a controller does.
  private func walk(_ frames: [UInt32], base: UInt64) -> [UInt64] {
    let pages = max(PRPList.pages(forFrames: frames.count), 1)
    let list = UnsafeMutablePointer<UInt64>.allocate(capacity: pages * PRPList.entriesPerPage)
    defer { list.deallocate() }
    let listAddress: UInt64 = 1 << 40
    frames.withUnsafeBufferPointer { frames in
      guard let first = frames.baseAddress else { return }
      PRPList.write(
        frames: first + 1, count: frames.count - 1, base: base, list: list, listAddress: listAddress)
    }
    var found = [PRPList.address(frames[0], base)]
    var page = 0
    var entry = 0
    while found.count < frames.count {
      let value = list[page * PRPList.entriesPerPage + entry]
      if entry == PRPList.entriesPerPage - 1, frames.count - found.count > 1 {
        #expect(value == listAddress + UInt64(page + 1) * 4096)
        page += 1
        entry = 0
      } else {
        found.append(value)
        entry += 1
      }
    }
    #expect(page + 1 == pages)
    return found
  }

  @Test(arguments: [3, 4, 256, 512, 513, 514, 515, 1023, 1024, 1025, 1026, 1536, 4096])
  func namesEveryFrameInOrder(_ count: Int) {
    var random = SplitMix(seed: UInt64(count))
    let frames = (0..<count).map { _ in UInt32.random(in: 0..<1_000_000, using: &random) }
    #expect(walk(frames, base: 0x10_0000) == frames.map { 0x10_0000 + UInt64($0) * 4096 })
  }

  @Test func countsListPages() {
    let cases = [1: 0, 2: 0, 3: 1, 513: 1, 514: 2, 1024: 2, 1025: 3, 1535: 3, 1536: 4]
    for (frames, pages) in cases { #expect(PRPList.pages(forFrames: frames) == pages, "\(frames) frames") }
  }
}
