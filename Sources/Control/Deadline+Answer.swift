import PCI

extension Deadline {
  /// How long all daemons together may take to answer a request (ns).
  public static let patience: UInt64 = 10_000_000_000

  /// The deadline that long from now.
  public init() { self.init(in: Self.patience) }
}
