import SystemFiles

/// The address of a PCI function: domain, bus, device and function, written `0000:01:00.0` (hexadecimal).
public struct FunctionAddress: Hashable, Sendable {
  /// The PCI domain, also called segment.
  public let domain: UInt32
  /// The bus within the domain.
  public let bus: UInt8
  /// The device on the bus, 0...31.
  public let device: UInt8
  /// The function of the device, 0...7.
  public let function: UInt8

  /// An address from its parts; nil when device or function is out of range.
  public init?(domain: UInt32, bus: UInt8, device: UInt8, function: UInt8) {
    guard device < 32, function < 8 else { return nil }
    self.domain = domain
    self.bus = bus
    self.device = device
    self.function = function
  }
}

extension FunctionAddress: LosslessStringConvertible {
  /// Reads `0000:01:00.0`, or `01:00.0` for domain 0; nil when the text is no such address.
  public init?(_ text: String) {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count == 2 || parts.count == 3 else { return nil }
    let tail = parts[parts.count - 1].split(separator: ".", omittingEmptySubsequences: false)
    guard tail.count == 2,
      let domain = parts.count == 3 ? Self.number(parts[0], digits: 8) : 0,
      let bus = Self.number(parts[parts.count - 2], digits: 2),
      let device = Self.number(tail[0], digits: 2),
      let function = Self.number(tail[1], digits: 1)
    else { return nil }
    self.init(domain: domain, bus: UInt8(bus), device: UInt8(device), function: UInt8(function))
  }

  /// The address as Linux writes it under `/sys/bus/pci/devices`.
  public var description: String {
    let domain = Self.hexadecimal(self.domain, digits: 4)
    let bus = Self.hexadecimal(UInt32(self.bus), digits: 2)
    return "\(domain):\(bus):\(Self.hexadecimal(UInt32(device), digits: 2)).\(function)"
  }

  /// A hexadecimal number of 1 to `digits` digits and nothing else, so of `digits * 4` bits.
  private static func number(_ text: Substring, digits: Int) -> UInt32? {
    guard (1...digits).contains(text.utf8.count), text.allSatisfy({ $0.isASCII && $0.isHexDigit }) else {
      return nil
    }
    return UInt32(text, radix: 16)
  }

  private static func hexadecimal(_ value: UInt32, digits: Int) -> String {
    let text = String(value, radix: 16)
    return String(repeating: "0", count: max(0, digits - text.count)) + text
  }
}

extension FunctionAddress: Comparable {
  public static func < (a: FunctionAddress, b: FunctionAddress) -> Bool {
    (a.domain, a.bus, a.device, a.function) < (b.domain, b.bus, b.device, b.function)
  }
}

extension SystemTree {
  /// The sysfs folder of a PCI function, whether it exists or not.
  public func folder(of address: FunctionAddress) -> String { "\(sys)/bus/pci/devices/\(address)" }
}
