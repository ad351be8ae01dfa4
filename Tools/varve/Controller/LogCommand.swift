import ArgumentParser
import NVMe
import NVMeSpec
import JSONValue

/// `varve log`: the logs of a controller that are no health figures.
struct Log: ParsableCommand {
  enum Page: String, ExpressibleByArgument, CaseIterable {
    case error, firmware, changed, effects, supported
  }

  static let configuration = CommandConfiguration(
    abstract: "Show a log of a controller: errors, firmware slots, changed namespaces, effects of commands.",
    discussion: """
      error: the last failed commands. firmware: the slots. changed: the namespaces that changed since it was last \
      read. effects: the commands there are and what they do beside their work. supported: which logs there are. \
      The fields are called as in nvme error-log and nvme fw-log.
      """)

  @OptionGroup var target: DeviceOrMountArgument

  @Argument(help: "Which log.")
  var page = Page.error

  @OptionGroup var output: OutputOptions

  func run() throws {
    try target.withSource { source in
      switch page {
      case .error: try printErrors(of: source)
      case .firmware: try printFirmware(of: source)
      case .changed: try printChanges(of: source)
      case .effects: try printEffects(of: source)
      case .supported: try printSupported(of: source)
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

  private func printChanges(of source: any ControllerSource) throws {
    let bytes = try source.readPage(.changedNamespaces, length: ChangedNamespaceLog.size)
    let log = bytes.withUnsafeBytes { ChangedNamespaceLog(decoding: $0) }
    let list = log.identifiers.map { "\($0)" }.joined(separator: ", ")
    output.print(
      .object([
        ("overflow", .bool(log.isOverflow)), ("namespaces", .array(log.identifiers.map { .integer($0) })),
      ]),
      normal: log.isOverflow
        ? "More namespaces changed than the log holds."
        : list.isEmpty ? "No namespace has changed." : "Changed namespaces: \(list)")
  }

  private func printSupported(of source: any ControllerSource) throws {
    let bytes = try source.readPage(.supported, length: SupportedLogPages.size)
    let pages = bytes.withUnsafeBytes { SupportedLogPages(decoding: $0) }.pages
    output.print(
      .object([("pages", .array(pages.map { .integer($0.rawValue) }))]),
      normal: "Log pages: " + pages.map { hexadecimal($0.rawValue, digits: 2) + "h" }.joined(separator: ", "))
  }

  private func printEffects(of source: any ControllerSource) throws {
    let bytes = try source.readPage(.commandEffects, length: CommandEffectsLog.size)
    let log = bytes.withUnsafeBytes { CommandEffectsLog(decoding: $0) }
    let commands =
      log.admin.map { CommandEffects("admin", $0.key.rawValue, "\($0.key)", $0.value) }
      + log.io.map { CommandEffects("io", $0.key.rawValue, "\($0.key)", $0.value) }
    let sorted = commands.sorted { ($0.kind, $0.opcode) < ($1.kind, $1.opcode) }
    var table = Table("Kind", "Opcode", "Command", "May change")
    for command in sorted { command.add(to: &table) }
    output.print(.object([("commands", .array(sorted.map(\.json)))]), normal: table.text)
  }
}
