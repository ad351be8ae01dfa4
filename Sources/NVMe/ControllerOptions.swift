/// What a caller may choose about a controller.
public struct ControllerOptions {
  /// Entries of each I/O queue asked for, at least 2, rounded down to a power of two; the controller's MQES
  /// may make it fewer. One entry stays empty, so one command less can be under way.
  public var queueEntries = 256
  /// I/O queue pairs asked for, at least 1; the controller may grant fewer.
  public var queuePairs = 8
  /// The most frames of 4 KiB that one command may transfer; MDTS may make it fewer.
  public var maximumTransferFrames = 512
  /// How commands name their data.
  public var dataPointers = DataPointers.automatic
  /// Whether doorbells have shadows in memory where the controller offers that (Doorbell Buffer Config).
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
  /// How often the controller's health and the age of commands are looked at while commands are under way
  /// (ns).
  public var watchInterval: UInt64 = .second
  /// How long a controller whose registers read as all ones is waited for (ns) before it is taken for gone.
  /// Commands wait as long. By default it is not waited for; Linux waits 600 s for a controller on a network
  /// (NVMF_DEF_CTRL_LOSS_TMO).
  public var offlineTimeout: UInt64 = 0
  /// When failed commands are tried again. The controller's delay times are filled in at bring-up.
  public var retry = RetryPolicy()
  /// How many resets in a row may be needed before the controller is given up.
  public var maximumResets = 3
  /// Where time comes from.
  public var time = TimeSource.system

  public init() {}
}
