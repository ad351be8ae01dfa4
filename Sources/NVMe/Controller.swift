import CMachine
import NVMeSpec
import PCI

/// An NVMe controller behind a PCI function: brought up, kept alive, reset when it hangs, shut down.
///
/// It owns the admin queue pair; I/O queue pairs are made by `makeQueuePair` and driven by `poll`, all on the
/// thread that owns the controller. Nothing after `open` blocks but `execute`, what is built on it, and
/// `close`.
///
/// What every poll reads or writes is exempt from the language's checks for overlapping accesses, which would
/// cost more than the poll: no access to it lasts longer than an expression.
public final class Controller {
  /// The function the controller is reached through.
  public let function: any PCIFunction
  /// What the caller chose.
  public let options: ControllerOptions
  /// CAP.
  public let registerCapabilities: ControllerCapabilities
  /// VS.
  public let version: Version
  /// Where the controller stands.
  @exclusivity(unchecked)
  public internal(set) var state = ControllerState.disabling {
    didSet { updateFastPath() }
  }
  /// Why the controller cannot be used any more, once `state` is `failed`.
  public internal(set) var failure: ControllerError?
  /// Identify Controller.
  public internal(set) var identity = IdentifyController()
  /// What the controller can do.
  public internal(set) var capabilities = Capabilities()
  /// The active namespaces, by rising identifier.
  public internal(set) var namespaces: [Namespace] = []
  /// The last asynchronous events, oldest first.
  public internal(set) var events = EventLog()
  /// What befell the controller.
  public internal(set) var counters = ControllerCounters()
  /// How often what completed writes had left in a volatile cache may have been lost, or the device was
  /// started anew: whoever wrote has to look, before a flush may count, whether all is still there.
  @exclusivity(unchecked)
  public internal(set) var cacheLosses: UInt64 = 0
  /// The namespaces that are in use: when the controller comes back after a reset they must be the same.
  var namespacesInUse: [Namespace] = []
  /// Whether it has been ready before, and had a volatile cache then.
  var hasBeenReady = false
  var hadVolatileCache = false
  /// `PCIFunction.starts` at the last bring-up.
  var lastStart = 0
  /// SMART / Health Information, as of the last bring-up or SMART event; nil where the controller does not
  /// tell.
  public internal(set) var health: SMARTLog?
  /// What was found in the bring-up that people should know.
  public internal(set) var remarks: [String] = []
  /// What the controller needs beside what the specification says.
  var quirks: Quirks
  /// Why the controller grants no I/O queues, where it refused to say how many.
  var queueRefusal: CommandError?
  /// Whether namespaces are not asked for their descriptors, since the controller did not answer or is known
  /// not to.
  var skipsDescriptors: Bool
  /// The firmware slots, as of the last firmware event; nil before the first.
  public internal(set) var firmware: FirmwareSlotLog?

  /// Counts the lives of the controller: it grows whenever the controller is known to have stopped, so that
  /// what was under way in an earlier life will never touch memory again.
  @exclusivity(unchecked)
  var generation: UInt64 = 0 {
    didSet { updateFastPath() }
  }
  /// The generation while the controller is ready and has a processor of its own, `QueuePair.noFastPath`
  /// otherwise: one comparison tells that a poll has only completions to look for.
  @exclusivity(unchecked)
  @usableFromInline private(set) var fastPathGeneration = QueuePair.noFastPath
  /// Whether the function has no processor of its own.
  let needsService: Bool
  let registers: RegisterWindow
  @exclusivity(unchecked)
  var admin: QueuePair
  /// Data of admin commands: the first `commandFrames` frames for commands, one for what events make us read.
  let adminData: DMAArena
  static let commandFrames = 16
  static let eventFrame: UInt32 = 16
  /// One eventfd for each interrupt vector; empty where the function has none.
  var interrupts: [Int32] = []
  /// The shadows of the doorbells, where the controller offers them.
  var shadowDoorbells: ShadowDoorbells?
  /// The controller's own memory that submission queues lie in, where it offers some.
  var memoryBuffer: ControllerMemoryBuffer?
  /// Memory lent to the controller, where it asks for some.
  var hostMemory: HostMemoryBuffer?
  /// The I/O queue pairs that exist at the controller, or will exist again after a reset.
  var queues: [QueueMemory] = []
  /// The most I/O queue pairs the controller grants.
  var queuePairLimit = 0
  /// The end of the command that `execute` waits for, once it has come.
  var callerResponse: FinishedCommand?
  /// The command of a caller that does not wait; nil as long as there was none.
  var pendingRequest: AdminRequest?
  /// Whether the controller has accepted that the host understands CRD (Host Behavior Support, ACRE).
  var understandsDelays = false
  /// How far the bring-up has come.
  var bringUp = BringUp()
  /// When an emulated function wants to be serviced next (ns, monotonic).
  @exclusivity(unchecked)
  var serviceDue = UInt64.max
  /// Abort commands under way.
  var aborts = AbortTable()
  /// What events have the driver do.
  var eventService = EventService()
  /// When the admin queue is to be looked after although nothing has completed (ns, monotonic).
  @exclusivity(unchecked)
  var adminDue = UInt64.max
  /// Until when the controller may be paused by an activation of firmware, and when it was last found to be
  /// (ns, monotonic).
  var pauseEnd: UInt64 = 0
  var lastPause: UInt64 = 0

  /// Takes a function and brings the controller behind it up. Blocks until it is ready.
  /// - Throws: why that failed; the controller has been stopped then, and the function is still the caller's.
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
      // Admin commands are not tried again, as in Linux: whoever sent one learns how it ended.
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

  /// Once the controller cannot be used any more: what commands end with.
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
