import NVMe

/// The options that a name of a PCI function or of a vfio-user socket may carry for the driver:
/// `?queues=4&sgl=0`.
struct DriverKeys {
  /// The keys, each with its form.
  static let forms: [(key: String, form: String)] = [
    ("cmb", "whether submission queues lie in the controller's memory where it offers some: 0 or 1"),
    ("depth", "entries of an I/O queue: 2...65536"),
    ("hmb", "the most memory lent to the controller, in MiB, 0 for none: 0...4096"),
    ("queues", "I/O queue pairs asked for, at least one a mount: 1...65535"),
    ("sgl", "whether data is named by SGLs, always where the controller takes them or never: 1 or 0"),
    ("timeout", "seconds a command may take before it is aborted: 1...600"),
  ]

  private let options: [DeviceName.Option]

  /// - Throws: `DeviceError` naming an option that is unknown or has a value it cannot have.
  init(_ options: [DeviceName.Option]) throws(DeviceError) {
    self.options = options
    var tried = ControllerOptions()
    try apply(to: &tried)
  }

  /// Those of a device's name; none for a name that cannot have any.
  init(of name: String) throws(DeviceError) {
    let isDriven = name.hasPrefix("nvme://") || name.hasPrefix("vfio-user://")
    try self.init(isDriven ? try DeviceName.split(name).options.filter { $0.key != "nsid" } : [])
  }

  /// Applies the options to the caller's.
  func apply(to chosen: inout ControllerOptions) throws(DeviceError) {
    for option in options {
      switch option.key {
      case "cmb": chosen.usesMemoryBuffer = try Self.number(option, in: 0...1) == 1
      case "depth": chosen.queueEntries = try Self.number(option, in: 2...65_536)
      case "hmb": chosen.hostMemoryLimit = try Self.number(option, in: 0...4096) << 20
      case "queues": chosen.queuePairs = try Self.number(option, in: 1...65_535)
      case "sgl": chosen.dataPointers = try Self.number(option, in: 0...1) == 1 ? .sgl : .prp
      case "timeout": chosen.commandTimeout = UInt64(try Self.number(option, in: 1...600)) * 1_000_000_000
      default:
        let known = Self.forms.map(\.key).joined(separator: ", ")
        throw DeviceError("'\(option.key)' is no option of a controller; known are nsid, \(known)")
      }
    }
  }

  private static func number(_ option: DeviceName.Option, in range: ClosedRange<Int>) throws(DeviceError)
    -> Int
  {
    guard let number = Int(option.value), range.contains(number) else {
      throw DeviceError(
        "\(option.key)=\(option.value) is not a number in \(range.lowerBound)...\(range.upperBound)")
    }
    return number
  }
}
