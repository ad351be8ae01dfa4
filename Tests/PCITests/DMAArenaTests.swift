import Foundation
import Glibc
import PCI
import Testing

@Suite struct DMAArenaTests {
  @Test(arguments: [1, 7, 512, 1024]) func isZeroedAndAsLargeAsAsked(frames: Int) throws {
    let arena = try DMAArena(frames: frames)
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
    let other = try #require(mmap(nil, arena.size, PROT_READ, MAP_SHARED, arena.descriptor, 0))
    defer { munmap(other, arena.size) }
    #expect(other.load(fromByteOffset: 4096, as: UInt8.self) == 0x5a)
  }

  @Test func takesAnyNodeAsAWish() throws {
    for node in [0, 1, 63, 100_000, -1, Int.max] {
      let arena = try DMAArena(frames: 1, node: node)
      arena.base.storeBytes(of: 1, as: UInt8.self)
    }
  }

  @Test(arguments: [Int.max, Int.max / 4096]) func saysSoWhenThereIsNoSuchMemory(frames: Int) {
    #expect(throws: FunctionError.self) { try DMAArena(frames: frames) }
  }

  /// The guest's test sets some huge pages aside.
  @Test(.enabled(if: ProcessInfo.processInfo.environment["VARVE_GUEST_TEST"] == "hugepages"))
  func usesHugePagesWhereThereAreSome() throws {
    var status = stat()
    let large = try DMAArena(frames: 1024)
    #expect(fstat(large.descriptor, &status) == 0 && status.st_blksize == 2 << 20)
    let small = try DMAArena(frames: 1023)
    #expect(fstat(small.descriptor, &status) == 0 && status.st_blksize == 4096)
    let tooLarge = try DMAArena(frames: 512 * 1024)
    #expect(fstat(tooLarge.descriptor, &status) == 0 && status.st_blksize == 4096)
  }
}
