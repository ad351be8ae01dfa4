import CMachine
import Glibc

/// The LBA format of an image, stored with the file in extended attributes so that it outlives the
/// controller.
struct ImageFormat {
  /// The size of a logical block in bytes, in decimal.
  private static let blockSize = "user.nvme.block_size"
  /// The type of protection information, in decimal.
  private static let protectionType = "user.nvme.protection_type"

  private let descriptor: Int32

  init(descriptor: Int32) { self.descriptor = descriptor }

  /// Whether the filesystem of the image supports such attributes.
  var isKept: Bool { fgetxattr(descriptor, Self.blockSize, nil, 0) >= 0 || errno == ENODATA }

  /// The size of a logical block that Format NVM has given the image, as a power of two; nil when it never
  /// has.
  var shift: Int? {
    guard let size = value(Self.blockSize) else { return nil }
    return size == 512 ? 9 : size == 4096 ? 12 : nil
  }

  /// The type of protection information that Format NVM has given the image; nil when it never has.
  var protectionType: UInt8? {
    guard let type = value(Self.protectionType), (0...3).contains(type) else { return nil }
    return UInt8(truncatingIfNeeded: type)
  }

  /// Stores a block size.
  /// - Returns: 0 or an errno.
  func keep(shift: Int) -> Int32 { keep(1 << shift, Self.blockSize) }

  /// Stores a type of protection information.
  /// - Returns: 0 or an errno.
  func keep(protectionType: UInt8) -> Int32 { keep(Int(protectionType), Self.protectionType) }

  private func value(_ attribute: String) -> Int? {
    var text = [UInt8](repeating: 0, count: 8)
    let count = fgetxattr(descriptor, attribute, &text, text.count)
    return count > 0 ? Int(String(decoding: text[..<count], as: UTF8.self)) : nil
  }

  private func keep(_ value: Int, _ attribute: String) -> Int32 {
    let text = Array(String(value).utf8)
    return fsetxattr(descriptor, attribute, text, text.count, 0) == 0 ? 0 : errno
  }
}
