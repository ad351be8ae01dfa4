/// How much one command may transfer, in frames of 4 KiB: all splitting follows these limits.
public struct TransferLimits: Sendable, Equatable {
  /// The most frames of one read or write: the least of MDTS, the PRP list room, and 65,536 LBAs.
  public let maximum: UInt32
  /// The namespace's optimal I/O boundary (NOIOB) in frames; 0 where there is none. No command crosses a
  /// multiple of it, since some controllers serve such a command much more slowly.
  public let boundary: UInt32

  /// Limits of at least one frame.
  /// - Parameters:
  ///   - maximum: frames of one command.
  ///   - boundary: frames, 0 for none.
  public init(maximum: UInt32, boundary: UInt32 = 0) {
    self.maximum = max(maximum, 1)
    self.boundary = boundary
  }

  /// How many frames the next command may carry of a transfer of `remaining` frames that goes on at `frame`
  /// (from the start of the namespace).
  @inline(__always)
  public func chunk(at frame: UInt64, remaining: UInt32) -> UInt32 {
    let most = min(remaining, maximum)
    guard boundary != 0 else { return most }
    let untilBoundary = UInt64(boundary) &- frame % UInt64(boundary)
    return UInt32(truncatingIfNeeded: min(UInt64(most), untilBoundary))
  }
}
