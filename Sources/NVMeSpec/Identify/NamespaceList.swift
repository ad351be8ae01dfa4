/// A namespace list: up to 1024 identifiers in rising order, ended by 0 (Base 2.0, section 4.4.2).
public struct NamespaceList: Hashable, Sendable {
  /// How many identifiers a list holds.
  public static let limit = 1024

  /// The identifiers.
  public var identifiers: [UInt32]

  public init(_ identifiers: [UInt32]) { self.identifiers = identifiers }

  /// Reads the list up to its end. Entries out of order end it too: a caller that continues from the last one
  /// would loop for ever.
  public init(decoding data: UnsafeRawBufferPointer) {
    identifiers = []
    for index in 0..<Self.limit {
      let identifier: UInt32 = data.value(at: 4 * index)
      guard identifier > identifiers.last ?? 0, identifier < SubmissionEntry.allNamespaces - 1 else { return }
      identifiers.append(identifier)
    }
  }

  /// Writes the list over a zeroed buffer; what does not fit is left out.
  public func encode(into data: UnsafeMutableRawBufferPointer) {
    data.clear()
    for (index, identifier) in identifiers.prefix(Self.limit).enumerated() {
      data.put(identifier, at: 4 * index)
    }
  }
}
