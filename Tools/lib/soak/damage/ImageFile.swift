import ArgumentParser
import Format
import Glibc

/// An image file, read and changed a block at a time.
final class ImageFile {
  private let descriptor: Int32

  init(_ path: String) throws {
    descriptor = open(path, O_RDWR | O_CLOEXEC)
    guard descriptor >= 0 else { throw ValidationError("\(path): \(String(cString: strerror(errno)))") }
  }

  deinit { close(descriptor) }

  /// The bytes of `count` blocks from `block` on.
  func bytes(_ block: UInt64, count: Int = 1) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count * Page.size)
    guard pread(descriptor, &bytes, bytes.count, off_t(block) * off_t(Page.size)) == bytes.count else {
      throw ValidationError("block \(block) cannot be read")
    }
    return bytes
  }

  /// Calls `body` with a block's page.
  func withPage<T>(_ block: UInt64, _ body: (Page) throws -> T) throws -> T {
    var bytes = try bytes(block)
    return try bytes.withUnsafeMutableBytes { buffer in
      guard let base = buffer.baseAddress else { throw ValidationError("no block") }
      return try body(Page(base))
    }
  }

  /// Changes one byte of a block.
  func spoil(_ block: UInt64, at offset: Int) throws {
    var byte = try bytes(block)[offset] ^ 0xFF
    guard pwrite(descriptor, &byte, 1, off_t(block) * off_t(Page.size) + off_t(offset)) == 1 else {
      throw ValidationError("block \(block) cannot be written")
    }
  }
}
