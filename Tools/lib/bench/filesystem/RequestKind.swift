import FileProtocol
import Glibc

/// What is measured. What moves data moves 4 KiB, except for large writes.
enum RequestKind: String, CaseIterable {
  /// Reads of blocks that are on the device only.
  case read
  /// Reads of blocks in the filesystem's cache.
  case cachedRead = "cached-read"
  /// Writes with O_DIRECT over blocks that are on the device.
  case write
  /// The same, each durable when it is answered.
  case syncedWrite = "synced-write"
  /// Writes of 128 KiB, which the filesystem logs from the slots in which they arrive.
  case largeWrite = "large-write"
  case getattr
  case lookup

  /// Fills in request `number`.
  func fill(_ request: inout Request, _ number: Int, _ files: BenchFiles) {
    let file = self == .cachedRead ? files.cached : files.large
    request.node = file.node
    // An odd stride visits all of a power of two of blocks.
    request.offset = UInt64(truncatingIfNeeded: number &* 7919) & (file.blocks - 1) << 12
    request.length = 4096
    request.flags = UInt32(O_RDWR)
    switch self {
    case .read, .cachedRead: request.operation = .read
    case .write, .syncedWrite:
      request.operation = .write
      request.isDirect = true
      if self == .syncedWrite { request.flags |= UInt32(O_DSYNC) }
    case .largeWrite:
      request.operation = .write
      request.length = 32 << 12
      request.offset &= ~(32 << 12 - 1)
    case .getattr: request.operation = .getattr
    case .lookup:
      request.operation = .lookup
      request.node = 1
      request.name = file.name
    }
  }
}
