import Glibc
import Testing

@testable import MountSession

@Suite(.enabled(if: Fuse.isThere, Fuse.absence)) struct FilesTests {
  /// O_DIRECT, which Swift cannot import.
  private static let direct: Int32 = 0o40000

  /// Random writes, truncations and holes, through the page cache and bypassing it, against an array of
  /// bytes.
  @Test(arguments: [0, direct], [true, false]) func aFileHoldsWhatWasWritten(
    flags: Int32, opensInKernel: Bool
  ) throws {
    try TestMount.with(opensInKernel: opensInKernel) { mount in
      var random = SystemRandomNumberGenerator()
      let unit = flags == 0 ? 1 : 4096
      let limit = 3 << 20
      let descriptor = open(mount.path + "/f", O_CREAT | O_RDWR | flags, 0o600)
      try #require(descriptor >= 0)
      defer { close(descriptor) }
      let memory = try #require(aligned_alloc(4096, limit))
      defer { free(memory) }
      var model = Model(limit: limit)
      for step in 0..<120 {
        let offset = Int.random(in: 0...(limit / 2), using: &random) / unit * unit
        let count = max(unit, Int.random(in: 1...(limit / 2), using: &random) / unit * unit)
        switch step % 4 {
        case 0, 1:
          memset(memory, Int32(step), count)
          #expect(pwrite(descriptor, memory, count, offset) == count)
          model.write(UInt8(step), offset, count)
        case 2:
          let expected = max(0, min(count, model.size - offset))
          #expect(pread(descriptor, memory, count, offset) == expected)
          let isRight = model.holds(memory, offset, expected)
          #expect(isRight)
        default:
          #expect(ftruncate(descriptor, offset) == 0)
          model.resize(offset)
        }
      }
      try #expect(status(mount.path + "/f").st_size == model.size)
      #expect(mount.traffic.value.misalignedWrites == 0)
      #expect(mount.traffic.value.largestWrite > 128 << 10)
    }
  }

  /// Small writes each reach the service, or together where the kernel writes back.
  @Test(arguments: [(false, 1000...2000), (true, 1...2)])
  func smallWritesAreJoined(writesBack: Bool, requests: ClosedRange<Int>) throws {
    try TestMount.with(writesBack: writesBack) { mount in
      let descriptor = open(mount.path + "/f", O_CREAT | O_WRONLY, 0o600)
      try #require(descriptor >= 0)
      let line = [UInt8](repeating: 7, count: 100)
      for _ in 0..<1000 { #expect(write(descriptor, line, line.count) == line.count) }
      #expect(close(descriptor) == 0)
      try #expect(status(mount.path + "/f").st_size == 100_000)
      let found = mount.traffic.value.count(.write)
      #expect(requests.contains(found))
    }
  }

  @Test func holesArePunchedAndFound() throws {
    try TestMount.with { mount in
      let descriptor = open(mount.path + "/f", O_CREAT | O_RDWR, 0o600)
      try #require(descriptor >= 0)
      defer { close(descriptor) }
      let block = [UInt8](repeating: 7, count: 1 << 18)
      #expect(pwrite(descriptor, block, block.count, 0) == block.count)
      let seekData: Int32 = 3
      let seekHole: Int32 = 4
      #expect(lseek(descriptor, 0, seekHole) == block.count)
      try #expect(run("fallocate", "-p", "-o", "65536", "-l", "65536", mount.path + "/f") == 0)
      #expect(lseek(descriptor, 0, seekHole) == 65536)
      #expect(lseek(descriptor, 65536, seekData) == 131072)
      try #expect(run("fallocate", "-l", "1000000", mount.path + "/f") == 0)
      try #expect(status(mount.path + "/f").st_size == 1_000_000)
      try #expect(run("fallocate", "-n", "-l", "2000000", mount.path + "/f") == 0)
      try #expect(status(mount.path + "/f").st_size == 1_000_000)
    }
  }

  @Test func opensHandledByTheKernelSendNoRequest() throws {
    try TestMount.with { mount in
      close(open(mount.path + "/f", O_CREAT | O_WRONLY, 0o600))
      close(open(mount.path + "/f", O_RDONLY))
      mount.traffic.reset()
      for _ in 0..<10 { close(open(mount.path + "/f", O_RDONLY)) }
      #expect(mount.traffic.value.operations.isEmpty)
    }
  }

  @Test func aNamelessFileLivesUntilItsLastUser() throws {
    try TestMount.with { mount in
      let descriptor = open(mount.path + "/f", O_CREAT | O_RDWR, 0o600)
      try #require(descriptor >= 0)
      #expect(unlink(mount.path + "/f") == 0)
      #expect(pwrite(descriptor, "hello", 5, 0) == 5)
      var bytes = [UInt8](repeating: 0, count: 5)
      #expect(pread(descriptor, &bytes, 5, 0) == 5)
      #expect(bytes == Array("hello".utf8))
      close(descriptor)
    }
  }

  @Test func fsyncReachesTheService() throws {
    try TestMount.with { mount in
      let descriptor = open(mount.path + "/f", O_CREAT | O_RDWR, 0o600)
      #expect(fsync(descriptor) == 0)
      #expect(fdatasync(descriptor) == 0)
      close(descriptor)
      let directory = open(mount.path, O_RDONLY | O_DIRECTORY)
      #expect(fsync(directory) == 0)
      close(directory)
      #expect(mount.traffic.value.count(.fsync) == 2)
      #expect(mount.traffic.value.count(.fsyncdir) == 1)
    }
  }

  @Test func ioctlsAreRefused() throws {
    try TestMount.with { mount in
      let descriptor = open(mount.path + "/f", O_CREAT | O_RDWR, 0o600)
      defer { close(descriptor) }
      try #expect(run("lsattr", mount.path + "/f") != 0)
    }
  }
}

/// The expected contents of a file.
private struct Model: ~Copyable {
  private let bytes: UnsafeMutableRawPointer
  private(set) var size = 0

  init(limit: Int) {
    bytes = .allocate(byteCount: limit, alignment: 1)
    memset(bytes, 0, limit)
  }

  deinit { bytes.deallocate() }

  mutating func write(_ byte: UInt8, _ offset: Int, _ count: Int) {
    memset(bytes + offset, Int32(byte), count)
    size = max(size, offset + count)
  }

  mutating func resize(_ newSize: Int) {
    if newSize < size { memset(bytes + newSize, 0, size - newSize) }
    size = newSize
  }

  func holds(_ other: UnsafeRawPointer, _ offset: Int, _ count: Int) -> Bool {
    count == 0 || memcmp(bytes + offset, other, count) == 0
  }
}
