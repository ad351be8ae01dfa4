import Glibc
import PCI

/// A file that is removed with its owner, in memory or on a disk.
final class TemporaryImage {
  let path: String

  init(bytes: Int, folder: String = "/dev/shm") throws {
    var template = Array("\(folder)/emulated-XXXXXX".utf8CString)
    let descriptor = mkstemp(&template)
    path = template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    guard descriptor >= 0, ftruncate(descriptor, bytes) == 0 else {
      throw FunctionError("no temporary file", errno: errno)
    }
    close(descriptor)
  }

  deinit { unlink(path) }

  /// The file's contents, read through another descriptor.
  func contents() throws -> [UInt8] {
    let descriptor = open(path, O_RDONLY)
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw FunctionError("no image", errno: errno) }
    var bytes = [UInt8](repeating: 0xEE, count: Int(status.st_size))
    guard read(descriptor, &bytes, bytes.count) == bytes.count else {
      throw FunctionError("the image cannot be read", errno: errno)
    }
    return bytes
  }

  /// The file's allocated size in bytes.
  var allocated: Int {
    var status = stat()
    return stat(path, &status) == 0 ? Int(status.st_blocks) * 512 : -1
  }
}
