import ArgumentParser
import NVMe
import NVMeSpec
import JSONValue

/// `varve log`: the error and the firmware log.
struct Log: ParsableCommand {
  enum Page: String, ExpressibleByArgument, CaseIterable {
    case error, firmware
  }

  static let configuration = CommandConfiguration(
    abstract: "Show a controller's error log or its firmware slots.",
    discussion: "The fields are called as in nvme error-log and nvme fw-log.")

  @OptionGroup var target: DeviceOrMountArgument

  @Argument(help: "Which log.")
  var page = Page.error

  @OptionGroup var output: OutputOptions

  func run() throws {
    try target.withSource { source in
      switch page {
      case .error: try printErrors(of: source)
      case .firmware: try printFirmware(of: source)
      }
    }
  }

  private func printErrors(of source: any ControllerSource) throws {
    let limit = Int(try source.identifyController().errorLogEntries) + 1
    let bytes = try source.readPage(.error, length: limit * ErrorLogEntry.size)
    let entries = bytes.withUnsafeBytes { bytes in
      (0..<limit).map { index in
        ErrorLogEntry(
          decoding: UnsafeRawBufferPointer(
            rebasing: bytes[index * ErrorLogEntry.size..<(index + 1) * ErrorLogEntry.size]))
      }
    }.filter { $0.count != 0 }
    output.print(
      .object([("errors", .array(entries.map(Self.json)))]),
      normal: entries.isEmpty ? "The error log is empty." : Self.table(entries))
  }

  private static func table(_ entries: [ErrorLogEntry]) -> String {
    var table = Table("Count", "SQ", "CID", "Namespace", "LBA", "Status")
    for entry in entries {
      table.add(
        "\(entry.count)", number(entry.submissionQueue), number(entry.commandIdentifier),
        "\(entry.namespace)", "\(entry.block)", "\(entry.status)")
    }
    return table.text
  }

  /// A queue's or command's number; a dash where the error is not a command's.
  private static func number(_ value: UInt16) -> String { value == .max ? "" : "\(value)" }

  private static func json(_ entry: ErrorLogEntry) -> JSON {
    .object([
      ("error_count", .integer(entry.count)), ("sqid", .integer(entry.submissionQueue)),
      ("cmdid", .integer(entry.commandIdentifier)), ("status_field", .integer(entry.status.rawValue)),
      ("status", .text("\(entry.status)")),
      ("parm_error_location", .integer(entry.parameterLocation)), ("lba", .integer(entry.block)),
      ("nsid", .integer(entry.namespace)),
    ])
  }

  private func printFirmware(of source: any ControllerSource) throws {
    let bytes = try source.readPage(.firmwareSlots, length: FirmwareSlotLog.size)
    let log = bytes.withUnsafeBytes { FirmwareSlotLog(decoding: $0) }
    var fields = Fields()
    fields.add("active_slot", log.activeSlot)
    fields.add("next_slot", .integer(log.nextSlot == 0 ? nil : Int(log.nextSlot)))
    for (index, revision) in log.revisions.enumerated() where !revision.isEmpty {
      fields.add("frs\(index + 1)", revision)
    }
    output.print(fields.json, normal: fields.text)
  }
}
