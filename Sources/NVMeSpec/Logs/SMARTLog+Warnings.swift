extension SMARTLog {
  /// The meanings of the bits of the critical warning.
  private static let meanings = [
    "its spare blocks are nearly used up", "its temperature is outside of its limits",
    "its media have had so many errors that it is not reliable any more",
    "its media can only be read any more",
    "its volatile memory is not backed up any more", "its persistent memory region is not reliable any more",
  ]
  /// The bits that mean that written data may be lost: all but those of temperature and of the persistent
  /// memory region.
  private static let endangering: UInt8 = 0b01_1101

  /// The meanings of a critical warning's bits, as text.
  public static func meanings(of warning: UInt8) -> [String] {
    meanings.indices.filter { warning >> $0 & 1 != 0 }.map { meanings[$0] }
  }

  /// Whether written data may be lost.
  public static func endangersData(_ warning: UInt8) -> Bool { warning & endangering != 0 }
}
