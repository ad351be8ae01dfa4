import Glibc

/// Writes of 4 KiB, each followed by fsync, round and round in a file of 4 MiB.
struct Sync {
  private static let block = 4096
  private static let blocks = 1024

  let path: String
  let count: Int

  /// - Returns: how long each write and its fsync took, in nanoseconds.
  func run() throws -> [UInt64] {
    let descriptor = open(path, O_CREAT | O_WRONLY, 0o644)
    guard descriptor >= 0 else { throw Failure("open \(path)") }
    defer { close(descriptor) }
    let data = [UInt8](repeating: 0x5A, count: Self.block)
    for index in 0..<Self.blocks { try write(data, at: index, descriptor) }
    guard fsync(descriptor) == 0 else { throw Failure("sync \(path)") }
    return try (0..<count).map { index in
      try duration {
        try write(data, at: index % Self.blocks, descriptor)
        guard fsync(descriptor) == 0 else { throw Failure("sync \(path)") }
      }
    }
  }

  private func write(_ data: [UInt8], at index: Int, _ descriptor: Int32) throws {
    let written = pwrite(descriptor, data, Self.block, off_t(index * Self.block))
    guard written == Self.block else { throw Failure("write \(path)") }
  }
}
