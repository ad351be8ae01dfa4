import CMachine
import Glibc
import PCI
import Testing

@Suite struct BusErrorGuardTests {
  /// A mapping of a truncated file raises the same signal as a BAR whose device is gone.
  @Test func readsAsOnesWhereTheMemoryIsGone() throws {
    let size = 4 * 4096
    let file = cm_memfd("bar")
    defer { close(file) }
    #expect(ftruncate(file, size) == 0)
    let base = try #require(mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0))
    defer { munmap(base, size) }
    #expect(BusErrorGuard.protect(base, size: size))
    defer { BusErrorGuard.release(base) }
    let window = RegisterWindow(mapping: base, size: size)
    window.store32(7, at: 8)
    #expect(window.load32(at: 8) == 7)
    #expect(ftruncate(file, 0) == 0)
    #expect(window.load32(at: 8) == .max)
    #expect(window.load64(at: 4096) == .max)
    window.store32(7, at: 2 * 4096)
    #expect(window.load32(at: 3 * 4096 + 4092) == .max)
  }

  @Test func hasRoomAgainAfterRelease() {
    for round in 1...1000 {
      let base = UnsafeMutableRawPointer(bitPattern: round * 4096)
      guard let base else { continue }
      #expect(BusErrorGuard.protect(base, size: 4096))
      BusErrorGuard.release(base)
    }
  }
}
