/// Opcodes of I/O commands of the NVM command set (NVM Command Set 1.0, section 3.2).
public struct IOOpcode: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
  public var rawValue: UInt8
  @inlinable
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  public static let flush = IOOpcode(rawValue: 0x00)
  public static let write = IOOpcode(rawValue: 0x01)
  public static let read = IOOpcode(rawValue: 0x02)
  public static let writeUncorrectable = IOOpcode(rawValue: 0x04)
  public static let compare = IOOpcode(rawValue: 0x05)
  public static let writeZeroes = IOOpcode(rawValue: 0x08)
  public static let datasetManagement = IOOpcode(rawValue: 0x09)
  public static let verify = IOOpcode(rawValue: 0x0c)
  public static let reservationRegister = IOOpcode(rawValue: 0x0d)
  public static let reservationReport = IOOpcode(rawValue: 0x0e)
  public static let reservationAcquire = IOOpcode(rawValue: 0x11)
  public static let reservationRelease = IOOpcode(rawValue: 0x15)
  public static let copy = IOOpcode(rawValue: 0x19)

  private static let names: [IOOpcode: String] = [
    .flush: "Flush",
    .write: "Write",
    .read: "Read",
    .writeUncorrectable: "Write Uncorrectable",
    .compare: "Compare",
    .writeZeroes: "Write Zeroes",
    .datasetManagement: "Dataset Management",
    .verify: "Verify",
    .reservationRegister: "Reservation Register",
    .reservationReport: "Reservation Report",
    .reservationAcquire: "Reservation Acquire",
    .reservationRelease: "Reservation Release",
    .copy: "Copy",
  ]

  /// The command's name in the specification.
  public var description: String { Self.names[self] ?? "I/O command \(hex(rawValue))" }
}

/// A code as the specification writes it: two hexadecimal digits and an `h`.
package func hex(_ code: UInt8) -> String {
  let digits = String(code, radix: 16, uppercase: true)
  return (digits.count < 2 ? "0" : "") + digits + "h"
}
