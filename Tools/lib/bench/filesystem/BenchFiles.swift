import FileProtocol
import Glibc

/// The files that requests are about.
struct BenchFiles {
  struct File {
    let node: UInt64
    /// A power of two.
    let blocks: UInt64
    /// Its name in the root directory.
    let name: UnsafeRawBufferPointer
  }

  /// Written by requests so large that the filesystem takes the data from their slots and does not cache it.
  let large: File
  /// Written block by block, through the filesystem's cache.
  let cached: File

  init(_ requests: RequestSource) throws {
    large = try Self.make("large", blocks: 16384, step: 32, requests)
    cached = try Self.make("cached", blocks: 512, step: 1, requests)
  }

  private static func make(_ name: StaticString, blocks: UInt64, step: UInt64, _ requests: RequestSource)
    throws -> File
  {
    let name = UnsafeRawBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount)
    let node = try requests.run(1) { request, _ in
      request.operation = .create
      request.node = 1
      request.name = name
      request.mode = S_IFREG | 0o644
    }
    try requests.run(Int(blocks / step)) { request, number in
      request.operation = .write
      request.node = node
      request.offset = UInt64(number) * step * 4096
      request.length = step * 4096
      request.flags = UInt32(O_RDWR)
    }
    try requests.run(1) { request, _ in
      request.operation = .fsync
      request.node = node
    }
    return File(node: node, blocks: blocks, name: name)
  }
}
