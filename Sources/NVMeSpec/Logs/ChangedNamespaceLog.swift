/// The Changed Namespace List log, 4096 bytes: the namespaces added, removed or changed since it was last
/// read (Base 2.0, section 5.16.1.5).
public struct ChangedNamespaceLog: Hashable, Sendable {
  /// The size of the log in bytes.
  public static let size = 4096

  /// The namespaces, by rising identifier; empty when `isOverflow`.
  public var identifiers: [UInt32] = []
  /// More namespaces changed than the list holds: any may have.
  public var isOverflow = false

  public init() {}

  /// Reads the log; what a short buffer lacks reads as zero.
  public init(decoding data: UnsafeRawBufferPointer) {
    isOverflow = data.value(at: 0) == UInt32.max
    if !isOverflow { identifiers = NamespaceList(decoding: data).identifiers }
  }

  /// Writes the log over a zeroed buffer; what does not fit is left out.
  public func encode(into data: UnsafeMutableRawBufferPointer) {
    NamespaceList(isOverflow ? [.max] : identifiers).encode(into: data)
  }
}
