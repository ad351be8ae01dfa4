import PCI

extension Deadline {
  /// How long daemons are given to answer a question, all of them together (ns).
  public static let patience: UInt64 = 10_000_000_000

  /// So long from now.
  public init() { self.init(in: Self.patience) }
}
