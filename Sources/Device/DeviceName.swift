import PCIHost

/// The name of a device; one grammar for every command and for fstab.
///
///     nvme://0000:01:00.0/1              a PCI function through kernel VFIO, namespace 1 (the default)
///     vfio-user:///run/ctl/cntrl?nsid=1  a controller behind a vfio-user socket
///     nvme://0000:01:00.0/1?queues=4&…   either with options for the driver (`DriverKeys`)
///     /path/disk.img                     an image file behind the emulated controller
///     emulated:/path/disk.img?key=value  the same, with the controller's options
///     UUID=…, LABEL=…                    the namespace whose superblock says so
public enum DeviceName: Equatable, Sendable {
  case function(FunctionAddress, namespace: UInt32)
  case vfioUser(path: String, namespace: UInt32)
  case image(path: String, namespace: UInt32, options: [Option])
  case uuid(String)
  case label(String)

  /// An option of the emulated controller.
  public struct Option: Equatable, Sendable {
    public let key: String
    public let value: String
  }

  /// The namespace in the name; nil where it has to be searched for.
  public var namespace: UInt32? {
    switch self {
    case .function(_, let namespace), .vfioUser(_, let namespace), .image(_, let namespace, _): namespace
    case .uuid, .label: nil
    }
  }

  /// Reads a name.
  /// - Throws: `DeviceError` with what is wrong with it.
  public init(_ text: String) throws(DeviceError) {
    guard !text.isEmpty else { throw DeviceError("the device's name is empty") }
    if let rest = Self.rest(of: text, after: "nvme://") {
      self = try Self.function(rest, text)
    } else if let rest = Self.rest(of: text, after: "vfio-user://") {
      let (path, options) = try Self.split(rest)
      _ = try DriverKeys(options.filter { $0.key != "nsid" })
      self = .vfioUser(path: path, namespace: try Self.namespace(options))
    } else if let value = Self.rest(of: text, after: "UUID=") {
      self = .uuid(value.lowercased())
    } else if let value = Self.rest(of: text, after: "LABEL=") {
      self = .label(value)
    } else if let rest = Self.rest(of: text, after: "emulated:") {
      let (path, options) = try Self.split(rest)
      self = .image(
        path: path, namespace: try Self.namespace(options), options: options.filter { $0.key != "nsid" })
    } else {
      self = .image(path: text, namespace: 1, options: [])
    }
  }

  private static func rest(of text: String, after prefix: String) -> String? {
    text.hasPrefix(prefix) ? String(text.dropFirst(prefix.count)) : nil
  }

  private static func function(_ rest: String, _ text: String) throws(DeviceError) -> DeviceName {
    let (name, options) = try split(rest)
    _ = try DriverKeys(options)
    let parts = name.split(separator: "/", omittingEmptySubsequences: false)
    guard let first = parts.first, let address = FunctionAddress(String(first)), parts.count <= 2 else {
      throw DeviceError("'\(text)' names no PCI function; write nvme://0000:01:00.0/1")
    }
    guard parts.count == 2 else { return .function(address, namespace: 1) }
    guard let namespace = UInt32(parts[1]), namespace > 0 else {
      throw DeviceError("'\(parts[1])' in '\(text)' is no namespace; namespaces are counted from 1")
    }
    return .function(address, namespace: namespace)
  }

  /// Splits a name from its options.
  static func split(_ rest: String) throws(DeviceError) -> (path: String, options: [Option]) {
    let parts = rest.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
    var options: [Option] = []
    for word in parts.count > 1 ? parts[1].split(separator: "&") : [] {
      let pair = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard pair.count == 2, !pair[0].isEmpty else {
        throw DeviceError("'\(word)' is no option; write key=value")
      }
      options.append(Option(key: String(pair[0]), value: String(pair[1])))
    }
    guard let path = parts.first, !path.isEmpty else { throw DeviceError("'\(rest)' names no file") }
    return (String(path), options)
  }

  private static func namespace(_ options: [Option]) throws(DeviceError) -> UInt32 {
    guard let option = options.last(where: { $0.key == "nsid" }) else { return 1 }
    guard let namespace = UInt32(option.value), namespace > 0 else {
      throw DeviceError("nsid=\(option.value): namespaces are counted from 1")
    }
    return namespace
  }
}
