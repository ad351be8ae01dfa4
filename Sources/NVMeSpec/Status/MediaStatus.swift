/// Media and data integrity errors (NVM Command Set 1.0, section 3.1.2).
extension StatusCode {
  /// Write Fault.
  public static let writeFault = StatusCode(.media, 0x80)
  /// Unrecovered Read Error.
  public static let unrecoveredReadError = StatusCode(.media, 0x81)
  /// End-to-end Guard Check Error.
  public static let guardCheckError = StatusCode(.media, 0x82)
  /// End-to-end Application Tag Check Error.
  public static let applicationTagCheckError = StatusCode(.media, 0x83)
  /// End-to-end Reference Tag Check Error.
  public static let referenceTagCheckError = StatusCode(.media, 0x84)
  /// Compare Failure.
  public static let compareFailure = StatusCode(.media, 0x85)
  /// Access Denied.
  public static let accessDenied = StatusCode(.media, 0x86)
  /// Deallocated or Unwritten Logical Block.
  public static let deallocatedBlock = StatusCode(.media, 0x87)
  /// End-to-End Storage Tag Check Error.
  public static let storageTagCheckError = StatusCode(.media, 0x88)

  static let media: [StatusDescription] = [
    .init(.writeFault, "Write Fault", "The data could not be written to the medium."),
    .init(.unrecoveredReadError, "Unrecovered Read Error", "The data could not be read from the medium."),
    .init(
      .guardCheckError, "End-to-end Guard Check Error",
      "The guard of the protection information does not match."),
    .init(
      .applicationTagCheckError, "End-to-end Application Tag Check Error",
      "The application tag does not match."),
    .init(
      .referenceTagCheckError, "End-to-end Reference Tag Check Error",
      "The reference tag does not match."),
    .init(.compareFailure, "Compare Failure", "The data compared differs."),
    .init(.accessDenied, "Access Denied", "Access to the data is refused."),
    .init(
      .deallocatedBlock, "Deallocated or Unwritten Logical Block",
      "A block read is deallocated or was never written."),
    .init(.storageTagCheckError, "End-to-End Storage Tag Check Error", "The storage tag does not match."),
  ]
}
