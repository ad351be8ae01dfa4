/// Identifiers that are derived from a name, so that they are the same in every run.
enum Identifiers {
  /// The PCI vendor, which the PCI-SIG has not assigned.
  static let vendor: UInt16 = 0xfff1
  /// The OUI, 02-56-56: locally administered, so not assigned to any vendor.
  static let organization: UInt32 = 0x02_5656

  /// An NGUID with bytes of a UUID around the OUI.
  static func nguid(_ uuid: [UInt8]) -> [UInt8] {
    let bytes = (0..<3).map { UInt8(truncatingIfNeeded: organization >> (16 - 8 * $0)) }
    return Array(uuid.prefix(8)) + bytes + uuid.suffix(5)
  }

  /// A UUID of version 8 that follows from a name.
  static func uuid(_ name: String) -> [UInt8] {
    var bytes = bytes(hash("uuid 1 \(name)")) + bytes(hash("uuid 2 \(name)"))
    bytes[6] = bytes[6] & 0x0f | 0x80
    bytes[8] = bytes[8] & 0x3f | 0x80
    return bytes
  }

  /// A UUID as it is written.
  static func text(_ uuid: [UInt8]) -> String {
    let digits = uuid.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }
    let groups = [0..<4, 4..<6, 6..<8, 8..<10, 10..<16]
    return groups.map { digits[$0].joined() }.joined(separator: "-")
  }

  /// A serial number that follows from a name.
  static func serialNumber(_ name: String) -> String {
    "VRV" + String(hash("serial \(name)"), radix: 16, uppercase: true)
  }

  /// FNV-1a, 64 bits, mixed once more so that similar names give unrelated values.
  private static func hash(_ name: String) -> UInt64 {
    let raw = name.utf8.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    let mixed = (raw ^ raw >> 32) &* 0xd6e8_feb8_6659_fd93
    return mixed ^ mixed >> 32
  }

  private static func bytes(_ value: UInt64) -> [UInt8] {
    (0..<8).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) }
  }
}
