import Foundation
import Glibc
import PCI
import Testing

@Suite struct DMAArenaTests {
  @Test(arguments: [1, 7, 512, 1024, 1025], [true, false])
  func isZeroedAndAsLargeAsAsked(frames: Int, isShared: Bool) throws {
    let arena = try DMAArena(frames: frames, isShared: isShared)
    #expect(arena.frameCount == frames)
    #expect(arena.size == frames * DMAArena.frameSize)
    #expect(UInt(bitPattern: arena.base) % 4096 == 0)
    #expect(UnsafeRawBufferPointer(start: arena.base, count: arena.size).allSatisfy { $0 == 0 })
    #expect(arena.iova == .max)
  }

  @Test func numbersFramesForProcessorAndDeviceAlike() throws {
    let arena = try DMAArena(frames: 3)
    arena.iova = 0x10_0000
    #expect(arena.pointer(2) - arena.base == 8192)
    #expect(arena.address(2) == 0x10_2000)
  }

  @Test func canBeMappedByAnotherProcess() throws {
    let arena = try DMAArena(frames: 2)
    arena.pointer(1).storeBytes(of: 0x5a, as: UInt8.self)
    let descriptor = try #require(arena.descriptor)
    let other = try #require(mmap(nil, arena.size, PROT_READ, MAP_SHARED, descriptor, 0))
    defer { munmap(other, arena.size) }
    #expect(other.load(fromByteOffset: 4096, as: UInt8.self) == 0x5a)
  }

  @Test func isPlacedForHugePagesWhereItIsNotShared() throws {
    let arena = try DMAArena(frames: 600, isShared: false)
    #expect(arena.descriptor == nil)
    #expect(UInt(bitPattern: arena.base) % (2 << 20) == 0)
  }

  @Test(arguments: [Int.max, Int.max / 4096, Int.max / 4096 - 512], [true, false])
  func saysSoWhenThereIsNoSuchMemory(frames: Int, isShared: Bool) {
    #expect(throws: FunctionError.self) { try DMAArena(frames: frames, isShared: isShared) }
  }

  /// The guest's test reserves some huge pages.
  @Test(.enabled(if: ProcessInfo.processInfo.environment["VARVE_GUEST_TEST"] == "hugepages"))
  func usesHugePagesWhereThereAreSome() throws {
    #expect(try pageSize(DMAArena(frames: 1024)) == 2 << 20)
    #expect(try pageSize(DMAArena(frames: 1023)) == 4096)
    #expect(try pageSize(DMAArena(frames: 512 * 1024)) == 4096)
    // Other tests allocate and free huge pages meanwhile, so one measurement may be wrong, but not all of
    // them.
    let taken = try (0..<50).map { _ in
      let own = try DMAArena(frames: 1025, isShared: false)
      let free = try freeHugePages()
      memset(own.base, 1, own.size)
      return try free - freeHugePages()
    }
    #expect(taken.contains(3))
  }

  /// The size of the pages that a shared arena has.
  private func pageSize(_ arena: DMAArena) throws -> Int {
    var status = stat()
    try #require(fstat(try #require(arena.descriptor), &status) == 0)
    return Int(status.st_blksize)
  }

  private func freeHugePages() throws -> Int {
    let lines = try String(contentsOfFile: "/proc/meminfo", encoding: .utf8).split(separator: "\n")
    let line = try #require(lines.first { $0.hasPrefix("HugePages_Free:") })
    return try #require(Int(line.split(separator: " ")[1]))
  }
}
