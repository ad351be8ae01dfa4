extension EmulatedController.Configuration {
  /// The options in a device's name (`emulated:/path?key=value&…`), each with the form of its value.
  public static let optionForms: [(key: String, form: String)] = [
    ("bandwidth", "bytes a second at most, with k, m or g: 2g"),
    ("block", "size of a logical block of images that were never formatted otherwise: 512 or 4096"),
    ("cmb", "memory of the controller's for submission queues, with k or m: 64k"),
    ("depth", "entries of the largest queue: 2...65536"),
    ("hmb", "memory the controller asks of the host, with k or m: 16m"),
    ("iops", "commands a second at most, with k or m: 500k"),
    ("latency", "time every command takes, with ns, us, ms or s: 80us"),
    ("mdts", "most data of one command, 2^N pages of 4 KiB, 0 for no limit: 0...16"),
    ("ms", "metadata of a logical block in bytes: 0, 8, 16 or 64"),
    ("namespace", "path of the image of one more namespace; may be repeated"),
    ("pi", "type of protection information, with ms: 0...3"),
    ("queues", "I/O queue pairs: 1...1024"),
    ("serial", "serial number, at most 20 printable ASCII characters"),
    ("sgl", "whether SGLs are taken: 0 or 1"),
    ("shadow", "whether doorbells may have shadows in memory: 0 or 1"),
    ("vwc", "whether there is a volatile write cache: 0 or 1"),
    ("warning", "critical warning of the SMART log: 0...63"),
    ("wp", "whether the namespaces are write protected: 0 or 1"),
  ]

  /// A controller over an image file.
  /// - Throws: `ConfigurationError` naming the option at fault, and the known ones when it is not known.
  public init(image path: String, options: [(String, String)] = []) throws(ConfigurationError) {
    try self.init(medium: .image(path: path), options: options)
  }

  /// A controller over memory.
  /// - Throws: `ConfigurationError` naming the option at fault, and the known ones when it is not known.
  public init(memory bytes: Int, options: [(String, String)] = []) throws(ConfigurationError) {
    try self.init(medium: .memory(bytes: bytes), options: options)
  }

  private init(
    medium: EmulatedController.Namespace.Medium, options: [(String, String)]
  ) throws(ConfigurationError) {
    namespaces = [EmulatedController.Namespace(medium)]
    for (key, value) in options { try set(key, value) }
    try check()
  }

  /// Applies one option.
  private mutating func set(_ key: String, _ value: String) throws(ConfigurationError) {
    let option = OptionValue(key: key, text: value)
    switch key {
    case "bandwidth": bytesPerSecond = try option.scaled(by: 1024)
    case "block":
      let size = Int(clamping: try option.scaled(by: 1024))
      for index in namespaces.indices { namespaces[index].blockSize = size }
    case "cmb": memoryBuffer = Int(clamping: try option.scaled(by: 1024))
    case "depth": queueDepth = try option.integer(in: 2...65_536)
    case "hmb": hostMemory = Int(clamping: try option.scaled(by: 1024))
    case "iops": commandsPerSecond = try option.scaled(by: 1000)
    case "latency": latency = try option.duration()
    case "mdts": maximumTransfer = UInt8(truncatingIfNeeded: try option.integer(in: 0...16))
    case "namespace":
      guard !value.isEmpty else { throw option.error("is not a path") }
      let blockSize = namespaces.first?.blockSize ?? 4096
      var another = EmulatedController.Namespace(.image(path: value), blockSize: blockSize)
      another.metadataSize = namespaces.first?.metadataSize ?? 0
      another.protectionType = namespaces.first?.protectionType ?? 0
      another.isWriteProtected = namespaces.first?.isWriteProtected ?? false
      namespaces.append(another)
    case "ms":
      let size = try option.integer(in: 0...64)
      for index in namespaces.indices { namespaces[index].metadataSize = size }
    case "pi":
      let type = try option.integer(in: 0...3)
      for index in namespaces.indices { namespaces[index].protectionType = UInt8(truncatingIfNeeded: type) }
    case "queues": queuePairs = try option.integer(in: 1...1024)
    case "serial": serialNumber = try option.serial()
    case "sgl": sgl = try option.flag()
    case "shadow": shadowDoorbells = try option.flag()
    case "vwc": volatileWriteCache = try option.flag()
    case "warning": criticalWarning = UInt8(truncatingIfNeeded: try option.integer(in: 0...63))
    case "wp":
      let isWriteProtected = try option.flag()
      for index in namespaces.indices { namespaces[index].isWriteProtected = isWriteProtected }
    default:
      let known = Self.optionForms.map(\.key).joined(separator: ", ")
      throw ConfigurationError("unknown option '\(key)' of an emulated controller; known are \(known)")
    }
  }
}
