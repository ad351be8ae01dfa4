/// The SMART / Health Information log, 512 bytes (Base 2.0, section 5.16.1.3).
public struct SMARTLog: Hashable, Sendable {
  /// The size of the log in bytes.
  public static let size = 512

  /// Bit 0 spare low, 1 temperature, 2 reliability degraded, 3 read-only, 4 backup failed, 5 memory region.
  public var criticalWarning: UInt8 = 0
  /// Composite temperature in kelvin.
  public var temperature: UInt16 = 0
  /// Spare left, in percent.
  public var availableSpare: UInt8 = 0
  /// The warning threshold of the spare, in percent.
  public var spareThreshold: UInt8 = 0
  /// Life used, in percent; may exceed 100.
  public var percentageUsed: UInt8 = 0
  /// Data read by the host, in units of 1000 times 512 bytes, rounded up.
  public var dataUnitsRead: UInt128 = 0
  /// Data written by the host, in units of 1000 times 512 bytes, rounded up.
  public var dataUnitsWritten: UInt128 = 0
  /// Read and compare commands completed.
  public var readCommands: UInt128 = 0
  /// Write commands completed.
  public var writeCommands: UInt128 = 0
  /// Minutes during which I/O was outstanding.
  public var busyMinutes: UInt128 = 0
  public var powerCycles: UInt128 = 0
  public var powerOnHours: UInt128 = 0
  /// Power losses without a shutdown notification.
  public var unsafeShutdowns: UInt128 = 0
  /// Unrecovered data integrity errors.
  public var mediaErrors: UInt128 = 0
  /// Entries added to the error log over the controller's life.
  public var errorLogEntries: UInt128 = 0
  /// Minutes above the warning temperature.
  public var warningMinutes: UInt32 = 0
  /// Minutes above the critical temperature.
  public var criticalMinutes: UInt32 = 0
  /// Temperature sensors 1...8 in kelvin, 0 for none.
  public var sensors = [UInt16](repeating: 0, count: 8)

  public init() {}

  /// Reads the log; what a short buffer lacks reads as zero.
  public init(decoding data: UnsafeRawBufferPointer) {
    criticalWarning = data.value(at: 0)
    temperature = data.value(at: 1)
    availableSpare = data.value(at: 3)
    spareThreshold = data.value(at: 4)
    percentageUsed = data.value(at: 5)
    dataUnitsRead = data.value(at: 32)
    dataUnitsWritten = data.value(at: 48)
    readCommands = data.value(at: 64)
    writeCommands = data.value(at: 80)
    busyMinutes = data.value(at: 96)
    powerCycles = data.value(at: 112)
    powerOnHours = data.value(at: 128)
    unsafeShutdowns = data.value(at: 144)
    mediaErrors = data.value(at: 160)
    errorLogEntries = data.value(at: 176)
    warningMinutes = data.value(at: 192)
    criticalMinutes = data.value(at: 196)
    sensors = (0..<8).map { data.value(at: 200 + 2 * $0) }
  }

  /// Writes the log over a zeroed buffer; what does not fit is left out.
  public func encode(into data: UnsafeMutableRawBufferPointer) {
    data.clear()
    data.put(criticalWarning, at: 0)
    data.put(temperature, at: 1)
    data.put(availableSpare, at: 3)
    data.put(spareThreshold, at: 4)
    data.put(percentageUsed, at: 5)
    data.put(dataUnitsRead, at: 32)
    data.put(dataUnitsWritten, at: 48)
    data.put(readCommands, at: 64)
    data.put(writeCommands, at: 80)
    data.put(busyMinutes, at: 96)
    data.put(powerCycles, at: 112)
    data.put(powerOnHours, at: 128)
    data.put(unsafeShutdowns, at: 144)
    data.put(mediaErrors, at: 160)
    data.put(errorLogEntries, at: 176)
    data.put(warningMinutes, at: 192)
    data.put(criticalMinutes, at: 196)
    for (index, sensor) in sensors.prefix(8).enumerated() { data.put(sensor, at: 200 + 2 * index) }
  }
}
