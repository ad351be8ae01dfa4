import ArgumentParser
import NVMe
import NVMeSpec

/// `varve smart`: the SMART / Health Information log.
struct SMART: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "smart", abstract: "Show a controller's health (the SMART log).",
    discussion: "The fields are called as in nvme smart-log; a data unit is 512,000 bytes.")

  @OptionGroup var target: DeviceOrMountArgument
  @OptionGroup var output: OutputOptions

  func run() throws {
    try target.withSource { source in
      let page = try source.readPage(.smart, length: SMARTLog.size)
      let fields = Fields(page.withUnsafeBytes { SMARTLog(decoding: $0) })
      output.print(fields.json, normal: fields.text)
    }
  }
}

extension Fields {
  /// The fields of the SMART log, in the order they lie there.
  init(_ log: SMARTLog) {
    add("critical_warning", log.criticalWarning, Self.text(ofWarning: log.criticalWarning))
    add("temperature", log.temperature, temperatureText(log.temperature))
    add("avail_spare", log.availableSpare, "\(log.availableSpare)%")
    add("spare_thresh", log.spareThreshold, "\(log.spareThreshold)%")
    add("percent_used", log.percentageUsed, "\(log.percentageUsed)%")
    add("data_units_read", log.dataUnitsRead, Self.text(ofUnits: log.dataUnitsRead))
    add("data_units_written", log.dataUnitsWritten, Self.text(ofUnits: log.dataUnitsWritten))
    add("host_read_commands", log.readCommands)
    add("host_write_commands", log.writeCommands)
    add("controller_busy_time", log.busyMinutes, "\(log.busyMinutes) min")
    add("power_cycles", log.powerCycles)
    add("power_on_hours", log.powerOnHours)
    add("unsafe_shutdowns", log.unsafeShutdowns)
    add("media_errors", log.mediaErrors)
    add("num_err_log_entries", log.errorLogEntries)
    add("warning_temp_time", log.warningMinutes, "\(log.warningMinutes) min")
    add("critical_comp_time", log.criticalMinutes, "\(log.criticalMinutes) min")
    for (index, sensor) in log.sensors.enumerated() where sensor != 0 {
      add("temperature_sensor_\(index + 1)", sensor, temperatureText(sensor))
    }
  }

  private static let warnings = [
    "spare low", "temperature", "reliability degraded", "read-only", "memory backup failed",
    "persistent memory region",
  ]

  /// The warnings whose bits are set.
  private static func text(ofWarning bits: UInt8) -> String {
    let set = warnings.indices.filter { bits >> $0 & 1 != 0 }.map { warnings[$0] }
    return set.isEmpty ? "\(bits)" : "\(bits) (\(set.joined(separator: ", ")))"
  }

  /// Data units and their size for people; 512,000 bytes each.
  private static func text(ofUnits units: UInt128) -> String {
    units == 0 ? "0" : "\(units) (\(decimal(Double(units) * 512_000 / 1e9, digits: 2)) GB)"
  }
}
