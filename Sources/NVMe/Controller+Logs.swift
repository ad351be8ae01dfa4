import NVMeSpec
import PCI

/// Log pages.
extension Controller {
  /// Reads a log page.
  /// - Parameters:
  ///   - page: which.
  ///   - namespace: a namespace identifier, by default all.
  ///   - length: how many bytes, a multiple of 4.
  public func readLog(
    _ page: LogPage, namespace: UInt32 = SubmissionEntry.allNamespaces, length: Int
  ) throws(ControllerError) -> [UInt8] {
    let most = longestLogPart
    guard length <= most || hasLongLogs else {
      throw error(.unsupported("the controller gives no more than \(most) bytes of a log page (LPA, bit 2)"))
    }
    var log: [UInt8] = []
    while log.count < length {
      let part = min(length - log.count, most)
      let command = SubmissionEntry(
        getLogPage: page, namespace: namespace, length: part, offset: UInt64(log.count))
      log += try execute(command, receiving: part).data
    }
    return log
  }

  /// LPA bit 2: a log page may be read from an offset on, and more than 16 KiB of it.
  private var hasLongLogs: Bool { identity.logPageAttributes & 1 << 2 != 0 }

  /// The most bytes of a log page that one command returns: without LPA bit 2, NUMD has 12 bits.
  private var longestLogPart: Int {
    let limit = min(Int(capabilities.transferFrames), Self.commandFrames) * DMAArena.frameSize
    return hasLongLogs ? limit : min(limit, 4 << 12)
  }

  /// The error log's used entries, newest first; the oldest are missing where the controller returns only 16
  /// KiB.
  public func readErrorLog() throws(ControllerError) -> [ErrorLogEntry] {
    let entries = Int(identity.errorLogEntries) + 1
    let limit = hasLongLogs ? entries : min(entries, longestLogPart / ErrorLogEntry.size)
    let bytes = try readLog(.error, length: limit * ErrorLogEntry.size)
    return bytes.withUnsafeBytes { bytes in
      (0..<limit).map { index in
        let start = index * ErrorLogEntry.size
        return ErrorLogEntry(
          decoding: UnsafeRawBufferPointer(rebasing: bytes[start..<start + ErrorLogEntry.size]))
      }
    }.filter { $0.count != 0 }
  }

  /// The SMART / Health Information log of the controller.
  public func readHealth() throws(ControllerError) -> SMARTLog {
    try readLog(.smart, length: SMARTLog.size).withUnsafeBytes { SMARTLog(decoding: $0) }
  }

  /// The Firmware Slot Information log.
  public func readFirmwareSlots() throws(ControllerError) -> FirmwareSlotLog {
    try readLog(.firmwareSlots, length: FirmwareSlotLog.size).withUnsafeBytes {
      FirmwareSlotLog(decoding: $0)
    }
  }

  /// The namespaces that changed since the log was last read, by the driver itself or by this.
  public func readChangedNamespaces() throws(ControllerError) -> ChangedNamespaceLog {
    try readLog(.changedNamespaces, length: ChangedNamespaceLog.size)
      .withUnsafeBytes { ChangedNamespaceLog(decoding: $0) }
  }

  /// The commands the controller supports, and their effects.
  public func readCommandEffects() throws(ControllerError) -> CommandEffectsLog {
    try readLog(.commandEffects, length: CommandEffectsLog.size)
      .withUnsafeBytes { CommandEffectsLog(decoding: $0) }
  }

  /// The log pages the controller has.
  public func readSupportedLogPages() throws(ControllerError) -> SupportedLogPages {
    try readLog(.supported, length: SupportedLogPages.size)
      .withUnsafeBytes { SupportedLogPages(decoding: $0) }
  }
}
