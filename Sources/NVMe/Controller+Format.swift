import NVMeSpec

/// How Format NVM treats a namespace's data (SES).
public enum SecureErase: UInt8, Sendable, CaseIterable {
  /// The controller may leave former contents on the medium, though reads no longer return them.
  case none = 0
  /// All user data is erased; what reads return afterwards is up to the controller.
  case userData = 1
  /// The encryption key of the data is deleted.
  case cryptographic = 2
}

/// The format that Format NVM gives a namespace.
public struct FormatChoice: Sendable {
  /// The LBA format, as an index into the namespace's formats.
  public var format: UInt8
  public var secureErase = SecureErase.none
  /// The type of protection information, 1...3, or 0 for none.
  public var protection: UInt8 = 0
  /// Whether protection information is the first 8 bytes of metadata rather than the last.
  public var protectionFirst = false
  /// Whether metadata follows each block's data rather than lying in a separate buffer.
  public var extendedMetadata = false

  public init(format: UInt8) { self.format = format }
}

extension Controller {
  /// How long a format may take (ns): large disks overwrite themselves for hours.
  private static let formatLimit: UInt64 = 6 * 3600 * .second

  /// Formats a namespace, which loses its contents, and identifies the namespaces again. Blocks until it is
  /// done.
  ///
  /// No queue pair may be open, as the block size may change.
  /// - Throws: why the format is not supported, in which case no command was sent and nothing is lost, or how
  ///   it failed.
  public func format(_ namespace: UInt32, as choice: FormatChoice) throws(ControllerError) {
    guard identity.adminCommands.contains(.format) else {
      throw error(.unsupported("the controller has no Format NVM command"))
    }
    guard !hasQueuePairs else { throw error(.notUsable) }
    guard let known = namespaces.first(where: { $0.identifier == namespace }) else {
      throw error(.unsupported("there is no namespace \(namespace)"))
    }
    guard Int(choice.format) < known.identity.formats.count,
      known.identity.formats[Int(choice.format)].blockSize != nil
    else {
      throw error(
        .unsupported(
          "namespace \(namespace) has no LBA format \(choice.format); it has 0 to \(known.identity.formats.count - 1)"
        ))
    }
    // FNA bit 2.
    guard choice.secureErase != .cryptographic || identity.formatAttributes & 4 != 0 else {
      throw error(.unsupported("the controller has no cryptographic erase; use the erase of user data"))
    }
    _ = try execute(
      SubmissionEntry(
        formatNamespace: namespace, format: choice.format, secureErase: choice.secureErase.rawValue,
        protection: choice.protection, protectionFirst: choice.protectionFirst,
        extendedMetadata: choice.extendedMetadata),
      limit: Self.formatLimit)
    try resetAndWait()
  }

  /// Resets the controller and waits until it is ready again. Commands in flight are submitted once more.
  /// - Throws: why it did not become ready.
  public func resetAndWait() throws(ControllerError) {
    reset()
    waitForReset()
    guard state == .ready else { throw failure ?? error(.notUsable) }
  }

  /// The other namespaces that a format or a secure erase of one also affects (FNA bits 0 and 1).
  public func namespacesFormattedAlong(with namespace: UInt32, secureErase: SecureErase) -> [UInt32] {
    let all = identity.formatAttributes & (secureErase == .none ? 1 : 3) != 0
    return all ? namespaces.map(\.identifier).filter { $0 != namespace } : []
  }
}
