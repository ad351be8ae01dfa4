import Glibc

/// The identifier by which a controller distinguishes hosts.
enum HostIdentifier {
  /// The 16 bytes of machine-id(5); nil where there are none, or zeros, which mean no host.
  static var machine: [UInt8]? {
    guard let file = fopen("/etc/machine-id", "re") else { return nil }
    defer { fclose(file) }
    var text = [UInt8](repeating: 0, count: 32)
    guard fread(&text, 1, text.count, file) == text.count else { return nil }
    let identifier = stride(from: 0, to: text.count, by: 2).compactMap { index in
      UInt8(String(decoding: text[index...index + 1], as: UTF8.self), radix: 16)
    }
    return identifier.count == 16 && identifier.contains { $0 != 0 } ? identifier : nil
  }
}
