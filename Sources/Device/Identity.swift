import Block
import BlockProtocol
import Format
import NVMe

/// The identity of a filesystem on a device, from its superblock.
public struct Identity: Sendable {
  public let superblock: Superblock

  /// The UUID in its usual form, lower case.
  public var uuidText: String { Self.text(ofUUID: superblock.uuid) }
  public var label: [UInt8] { superblock.label }

  /// Reads the superblock of a device, the second copy when the first is damaged.
  /// - Throws: `DeviceError` when there is none.
  public init(of device: any BlockDevice) throws(DeviceError) {
    let reader = SynchronousDevice(device)
    do {
      // A device that cannot be read is another error than one without a superblock.
      var first = try reader.read(block: 0, count: 1)
      var last = device.blockCount > 1 ? (try? reader.read(block: device.blockCount - 1, count: 1)) ?? [] : []
      superblock = try first.withUnsafeMutableBytes { first in
        try last.withUnsafeMutableBytes { last in
          try Superblock.choose(first: Self.page(first), last: Self.page(last)).0
        }
      }
    } catch { throw DeviceError("\(device.name): \(error)") }
  }

  private static func page(_ bytes: UnsafeMutableRawBufferPointer) -> Page? {
    guard let base = bytes.baseAddress, bytes.count >= Page.size else { return nil }
    return Page(base)
  }

  /// Reads the superblock on a namespace of a controller that the caller keeps.
  /// - Throws: `DeviceError` when there is none, or the namespace cannot be used.
  public init(of namespace: UInt32, at controller: Controller) throws(DeviceError) {
    let device: NamespaceDevice
    do throws(BlockDeviceError) {
      device = try NamespaceDevice(controller: controller, namespace: namespace, arenaFrames: 1)
    } catch { throw DeviceError("\(error)") }
    device.closesController = false
    defer { device.close() }
    try self.init(of: device)
  }

  /// Reads the superblock from a device's first block.
  /// - Throws: `DeviceError` when it holds none.
  public init(block: [UInt8]) throws(DeviceError) {
    do { superblock = try Self.decode(block) } catch { throw DeviceError("\(error)") }
  }

  private static func decode(_ block: [UInt8]) throws -> Superblock {
    var block = block
    return try block.withUnsafeMutableBytes { bytes in
      guard let page = page(bytes) else { throw FormatError.notVarve }
      return try Superblock(decoding: page)
    }
  }

  /// A UUID's 16 bytes as 8-4-4-4-12 hexadecimal digits.
  public static func text(ofUUID bytes: [UInt8]) -> String {
    var text = ""
    for (index, byte) in bytes.prefix(16).enumerated() {
      if [4, 6, 8, 10].contains(index) { text += "-" }
      let digits = String(byte, radix: 16)
      text += digits.count == 1 ? "0" + digits : digits
    }
    return text
  }

  /// The 16 bytes of a UUID's text; nil when it is none.
  public static func bytes(ofUUID text: String) -> [UInt8]? {
    let parts = text.split(separator: "-", omittingEmptySubsequences: false)
    guard parts.map(\.count) == [8, 4, 4, 4, 12] else { return nil }
    let digits = Array(parts.joined())
    var bytes: [UInt8] = []
    for index in stride(from: 0, to: 32, by: 2) {
      guard let byte = UInt8(String(digits[index...index + 1]), radix: 16) else { return nil }
      bytes.append(byte)
    }
    return bytes
  }
}
