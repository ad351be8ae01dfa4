import CMachine
import Glibc

/// The LBA format of an image, kept with the file in an extended attribute so that it outlives the controller.
struct ImageFormat {
  /// The attribute. Its value is the size of a logical block in bytes, in decimal.
  private static let attribute = "user.nvme.block_size"

  private let descriptor: Int32

  init(descriptor: Int32) { self.descriptor = descriptor }

  /// Whether the filesystem that the image lies in keeps such attributes.
  var isKept: Bool { fgetxattr(descriptor, Self.attribute, nil, 0) >= 0 || errno == ENODATA }

  /// The size of a logical block that Format NVM has given the image, as a power of two; nil when it never has.
  var shift: Int? {
    var text = [UInt8](repeating: 0, count: 8)
    let count = fgetxattr(descriptor, Self.attribute, &text, text.count)
    guard count > 0, let size = Int(String(decoding: text[..<count], as: UTF8.self)) else { return nil }
    return size == 512 ? 9 : size == 4096 ? 12 : nil
  }

  /// Keeps a size.
  /// - Returns: 0 or an errno.
  func keep(shift: Int) -> Int32 {
    let text = Array(String(1 << shift).utf8)
    return fsetxattr(descriptor, Self.attribute, text, text.count, 0) == 0 ? 0 : errno
  }
}
