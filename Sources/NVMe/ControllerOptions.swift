/// The options of a controller.
public struct ControllerOptions {
  /// Entries of each I/O queue asked for, at least 2, rounded down to a power of two; MQES may limit it
  /// further. One entry stays empty, so one command less can be in flight.
  public var queueEntries = 256
  /// I/O queue pairs asked for, at least 1; the controller may grant fewer.
  public var queuePairs = 8
  /// The most frames of 4 KiB that one command may transfer; MDTS may limit it further.
  public var maximumTransferFrames = 512
  /// How commands name their data.
  public var dataPointers = DataPointers.automatic
  /// Whether shadow doorbells are used where the controller offers them (Doorbell Buffer Config).
  public var usesShadowDoorbells = true
  /// Whether I/O submission queues lie in the controller's own memory where it offers some (Controller Memory
  /// Buffer).
  public var usesMemoryBuffer = true
  /// The most memory to lend to a controller that asks for some (Host Memory Buffer), in bytes; Linux' limit.
  public var hostMemoryLimit = 128 << 20
  /// How long an I/O command may take (ns) before it is aborted.
  public var commandTimeout: UInt64 = 30 * .second
  /// How long an Abort may take to show an effect (ns) before the controller is reset.
  public var abortTimeout: UInt64 = 5 * .second
  /// How long an admin command may take (ns).
  public var adminTimeout: UInt64 = 60 * .second
  /// How often the controller's health and the age of commands are checked while commands are in flight (ns).
  public var watchInterval: UInt64 = .second
  /// How long the driver waits for a controller whose registers read as all ones (ns) before it fails it as
  /// removed. Commands wait as long. By default it does not wait; Linux waits 600 s for a controller on a
  /// network (NVMF_DEF_CTRL_LOSS_TMO).
  public var offlineTimeout: UInt64 = 0
  /// When failed commands are tried again. The controller's delay times are filled in at bring-up.
  public var retry = RetryPolicy()
  /// How many resets in a row may fail before the controller is given up.
  public var maximumResets = 3
  /// Where time comes from.
  public var time = TimeSource.system

  public init() {}
}
