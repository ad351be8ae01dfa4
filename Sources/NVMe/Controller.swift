import CMachine
import NVMeSpec
import PCI

/// An NVMe controller behind a PCI function: bring-up, supervision, reset when it hangs, shutdown.
///
/// It owns the admin queue pair; I/O queue pairs are made by `makeQueuePair` and driven by `poll`, all on the
/// thread that owns the controller. Nothing after `open` blocks but `execute`, what is built on it, and
/// `close`.
///
/// State that every poll accesses is exempt from the language's exclusivity checks, which would cost more
/// than the poll: no access to it lasts longer than an expression.
public final class Controller {
  /// The function the controller is reached through.
  public let function: any PCIFunction
  /// The caller's options.
  public let options: ControllerOptions
  /// CAP.
  public let registerCapabilities: ControllerCapabilities
  /// VS.
  public let version: Version
  /// The controller's state.
  @exclusivity(unchecked)
  public internal(set) var state = ControllerState.disabling {
    didSet { updateFastPath() }
  }
  /// Why the controller has failed, once `state` is `failed`.
  public internal(set) var failure: ControllerError?
  /// Identify Controller.
  public internal(set) var identity = IdentifyController()
  /// What the controller can do.
  public internal(set) var capabilities = Capabilities()
  /// The active namespaces, by rising identifier.
  public internal(set) var namespaces: [Namespace] = []
  /// The last asynchronous events, oldest first.
  public internal(set) var events = EventLog()
  /// Counts of resets, errors and events.
  public internal(set) var counters = ControllerCounters()
  /// How often completed writes in the volatile cache may have been lost, or the device was restarted: the
  /// writer has to verify its unflushed writes before it can rely on a flush.
  @exclusivity(unchecked)
  public internal(set) var cacheLosses: UInt64 = 0
  /// The namespaces that are in use: when the controller comes back after a reset they must be the same.
  var namespacesInUse: [Namespace] = []
  /// Whether it was ready before, and whether it had a volatile cache then.
  var hasBeenReady = false
  var hadVolatileCache = false
  /// `PCIFunction.starts` at the last bring-up.
  var lastStart = 0
  /// SMART / Health Information, as of the last bring-up or SMART event; nil where the controller does not
  /// report it.
  public internal(set) var health: SMARTLog?
  /// Findings of the bring-up, as text for the log.
  public internal(set) var remarks: [String] = []
  /// The controller's needs beyond the specification.
  var quirks: Quirks
  /// The error of Number of Queues, where the controller refused it and so grants no I/O queues.
  var queueRefusal: CommandError?
  /// Whether the descriptor lists of namespaces are not read, since the controller has not returned one or is
  /// known not to.
  var skipsDescriptors: Bool
  /// The firmware slots, as of the last firmware event; nil before the first.
  public internal(set) var firmware: FirmwareSlotLog?

  /// Counts the controller's stops: it grows whenever the controller is known to have stopped, so that
  /// commands of an earlier generation can no longer access memory.
  @exclusivity(unchecked)
  var generation: UInt64 = 0 {
    didSet { updateFastPath() }
  }
  /// The generation while the controller is ready and needs no service, `QueuePair.noFastPath` otherwise: one
  /// comparison shows that a poll has only completions to collect.
  @exclusivity(unchecked)
  @usableFromInline private(set) var fastPathGeneration = QueuePair.noFastPath
  /// Whether the function is emulated and runs only in `PCIFunction.service`.
  let needsService: Bool
  let registers: RegisterWindow
  @exclusivity(unchecked)
  var admin: QueuePair
  /// Data of admin commands: the first `commandFrames` frames for commands, one for the follow-ups of events.
  let adminData: DMAArena
  static let commandFrames = 16
  static let eventFrame: UInt32 = 16
  /// One eventfd for each interrupt vector; empty where the function has none.
  var interrupts: [Int32] = []
  /// The shadow doorbells, where the controller offers them.
  var shadowDoorbells: ShadowDoorbells?
  /// The controller's own memory that submission queues lie in, where it offers some.
  var memoryBuffer: ControllerMemoryBuffer?
  /// Memory lent to the controller, where it asks for some.
  var hostMemory: HostMemoryBuffer?
  /// The I/O queue pairs that exist at the controller, or will exist again after a reset.
  var queues: [QueueMemory] = []
  /// The most I/O queue pairs that the controller grants.
  var queuePairLimit = 0
  /// The end of the command that `execute` waits for, once it has come.
  var callerResponse: FinishedCommand?
  /// The command of `request`; nil before the first.
  var pendingRequest: AdminRequest?
  /// Whether the controller has accepted that the host understands CRD (Host Behavior Support, ACRE).
  var understandsDelays = false
  /// How far the bring-up has come.
  var bringUp = BringUp()
  /// When an emulated function needs service next (ns, monotonic).
  @exclusivity(unchecked)
  var serviceDue = UInt64.max
  /// Outstanding Abort commands.
  var aborts = AbortTable()
  /// The follow-ups of events.
  var eventService = EventService()
  /// When to check the admin queue although nothing has completed (ns, monotonic).
  @exclusivity(unchecked)
  var adminDue = UInt64.max
  /// Until when a firmware activation may pause the controller, and when it was last seen paused (ns,
  /// monotonic).
  var pauseEnd: UInt64 = 0
  var lastPause: UInt64 = 0

  /// Brings up the controller behind a function. Blocks until it is ready.
  /// - Throws: why that failed; the controller has been stopped then, and the caller still owns the function.
  public static func open(
    _ function: any PCIFunction, options: ControllerOptions = ControllerOptions()
  ) throws(ControllerError) -> Controller {
    let controller = try Controller(function, options)
    try controller.start()
    return controller
  }

  private init(_ function: any PCIFunction, _ options: ControllerOptions) throws(ControllerError) {
    self.function = function
    self.options = options
    needsService = function.needsService
    quirks = Quirks(of: function)
    skipsDescriptors = quirks.contains(.noDescriptors)
    remarks = quirks.remarks
    do throws(FunctionError) {
      function.setBusMaster(true)
      registers = try function.openBAR(0)
    } catch {
      throw ControllerError(function.name, .disabling, .function(error))
    }
    registerCapabilities = ControllerCapabilities(rawValue: registers.load64(at: Register.capabilities))
    version = Version(rawValue: registers.load32(at: Register.version))
    try Self.check(registerCapabilities, registers, of: function)
    do throws(FunctionError) {
      // Admin commands are not retried, as in Linux: the sender gets the error.
      admin = QueuePair(
        memory: try QueueMemory(
          identifier: 0, entries: Self.adminEntries, vector: nil, listPages: 1, function: function),
        registers: registers, doorbellStride: registerCapabilities.doorbellStride,
        policy: RetryPolicy(maximumRetries: 0, maximumRequeues: 0), time: options.time)
      adminData = try DMAArena(frames: Self.commandFrames + 1, name: "varve-admin")
      try function.map(adminData)
    } catch {
      throw ControllerError(function.name, .disabling, .function(error))
    }
    if options.usesMemoryBuffer {
      memoryBuffer = ControllerMemoryBuffer.find(registerCapabilities, registers, of: function)
    }
    do throws(ControllerError) {
      try enableInterrupts()
    } catch {
      unmapMemory()
      throw error
    }
  }

  deinit { close() }

  /// Entries of the admin queues.
  static let adminEntries = 64

  /// Whether an I/O queue pair more can be made.
  public var canMakeQueuePair: Bool { queues.count < queuePairLimit }

  /// Whether I/O queue pairs are open.
  public var hasQueuePairs: Bool { !queues.isEmpty }

  /// The errno of all commands once the controller has failed; nil before.
  public var lostErrno: Int32? {
    switch state {
    case .failed, .closed: failure?.isGone == true ? ENODEV : EIO
    default: nil
    }
  }

  /// The present time (ns, monotonic).
  var now: UInt64 { options.time.now() }

  private func updateFastPath() {
    fastPathGeneration = state == .ready && !needsService ? generation : QueuePair.noFastPath
  }

  /// An error in the present state.
  func error(_ reason: ControllerError.Reason) -> ControllerError {
    ControllerError(function.name, state, reason)
  }
}
