import Block
import Control
import Device
import FileProtocol
import FileSystem
import Glibc
import Logging
import MountSession
import NVMe
import PCI
import Reactor
import ToolSupport

/// One namespace, mounted or about to be: its memory, queue pair, filesystem and connection to the kernel,
/// which it shares with no other mount. Belongs to the event loop's thread.
final class ServedMount {
  let namespace: UInt32
  let order: MountOrder
  let block: NamespaceDevice
  let service: FileSystem
  let reactor: Reactor
  let trace: TraceService
  /// The client of the control socket that asks for the mount, until it can be used; nil for the daemon's
  /// own.
  var client: UInt64?
  /// Called once the namespace was given back; with the reason when not all could be written.
  var whenGivenBack: (MountError?) -> Void = { _ in }
  /// Called after that, once nobody uses the mount any more.
  var whenGone: () -> Void = {}
  /// Called now and then while the mount is served.
  var whenAdvanced: () -> Void = {}

  private let place: ServedDevice
  private let session: MountSession
  private let departure: Departure
  private let helper: Helper
  private let log: Logger
  /// Makes the mount read-only, once the device's warning asks for it.
  private var readOnlyRemount: ReadOnlyRemount?
  private var isUsable = false
  private var hasToldLoss = false
  /// How many failed commands were logged, or counted in the log, and when more may be (ns, monotonic).
  private var loggedFailures: UInt64 = 0
  private var nextFailureLog: UInt64 = 0
  private var isLeaving = false
  /// Whether the controller has gone, or is to go, whoever uses the mount.
  private var isRemoved = false

  /// Takes memory and a queue pair for a filesystem. Blocks for as long as the controller needs to make the
  /// queues.
  /// - Parameter place: where the device lies.
  /// - Throws: why the namespace cannot be used.
  init(
    _ order: MountOrder, _ place: ServedDevice, _ controller: Controller, _ helper: Helper, _ loop: EventLoop,
    _ log: Logger
  ) throws {
    self.place = place
    self.order = order
    self.log = log
    self.helper = helper
    namespace = place.namespace
    let slots = SlotLayout()
    let arena = try DMAArena(
      frames: slots.frameCount + order.cacheFrames, isShared: controller.function.needsSharedMemory)
    MemoryReclaim.populate(arena)
    block = try NamespaceDevice(controller: controller, namespace: namespace, arena: arena)
    block.closesController = false
    guard order.options.readOnly || !block.isWriteProtected else {
      block.close()
      throw MountError("\(place.device) is write protected", remedy: "mount it with -o ro")
    }
    var options = order.filesystemOptions
    options.staysReadOnly = block.isWriteProtected
    service = FileSystem(
      memory: WorkingMemory(
        base: arena.base, firstFrame: UInt32(slots.frameCount), frameCount: UInt32(order.cacheFrames),
        slots: slots.count),
      blockCount: block.blockCount, hasVolatileCache: block.hasVolatileCache, canDiscard: block.canDiscard,
      options: options)
    reactor = try Reactor(service: service, device: block, slots: slots, loop: loop)
    session = try MountSession(
      service: service, slots: slots, arena: arena.base, options: order.sessionOptions)
    session.helper = helper
    departure = Departure(reactor, session, helper)
    trace = TraceService(block)
    reactor.afterAdvance = { [unowned self] in
      logLoss()
      logFailedCommands()
      passNotices()
      if let readOnlyRemount, isUsable, readOnlyRemount.advance() {
        log.error("\(block.name) is read-only from here on")
      }
      whenAdvanced()
    }
    reactor.whenEnded = { [unowned self] in end($0) }
  }

  /// Lets the filesystem start.
  /// - Parameter whenReady: told once when it can be served, or why not; it is gone then.
  func begin(_ whenReady: @escaping (MountError?) -> Void) {
    reactor.begin { [unowned self] failure in
      guard let failure else { return whenReady(nil) }
      isLeaving = true
      let found = service.hasNoSuperblock ? Signature.describe(block) : ""
      recordRefusal()
      block.close()
      let error = MountError("\(place.device): \(failure.problem)\(found)", remedy: failure.remedy)
      whenReady(error)
      whenGivenBack(error)
      whenGone()
    }
  }

  /// Serves a kernel mount.
  /// - Parameters:
  ///   - descriptor: that of the kernel's requests.
  ///   - whenUsable: called once the mount can be used.
  func serve(
    _ descriptor: Int32, at point: MountPoint, _ whenUsable: @escaping () -> Void
  ) throws(MountError) {
    try session.attach(descriptor, at: point)
    session.whenUsable = { [unowned self] in
      isUsable = true
      session.raiseReadahead()
      log.info("mounted \(block.name) at \(point.path) (Varve \(varveVersion))")
      if block.controller.endangersData { handleHealthWarning() }
      whenUsable()
    }
    reactor.take(session)
  }

  /// What is done when the device warns that what is written may be lost.
  func handleHealthWarning() {
    guard order.options.health == .becomeReadOnly, !service.state.isReadOnly, readOnlyRemount == nil,
      let point = session.mountPoint
    else { return }
    readOnlyRemount = ReadOnlyRemount(point, helper)
  }

  /// Begins to unmount.
  func leave() {
    isLeaving = true
    departure.begin()
  }

  /// Ends the service because the controller goes, or has gone. The mount stays, and every request is
  /// answered with ENODEV, until it is unmounted: what programs write next must not go into the directory
  /// below.
  func leaveRemoved() {
    isRemoved = true
    guard !isLeaving else { return }
    isLeaving = true
    reactor.stop()
  }

  /// How far its life has come. A mount that the kernel has no more is leaving, whether its channel has said
  /// so or not.
  var state: ServedDevice.State {
    if isLeaving { return .leaving }
    guard isUsable else { return .starting }
    // Its first place may be gone, and another one left.
    return !session.isDestroyed && session.mountPoint?.places.isEmpty == false ? .mounted : .leaving
  }

  /// What tools are told of it.
  var served: ServedDevice {
    var served = place
    served.mountPoint = session.mountPoint.map { $0.places.first?.path ?? $0.path } ?? ""
    served.number = session.mountPoint?.device ?? ""
    served.state = state
    if let superblock = service.superblock {
      served.uuid = Identity.text(ofUUID: superblock.uuid)
      served.label = String(decoding: superblock.label, as: UTF8.self)
    }
    return served
  }

  // MARK: Private

  private func end(_ ending: Ending) {
    isLeaving = true
    let path = session.mountPoint?.path ?? place.device
    var error: MountError?
    switch ending {
    case .unmounted: log.info("\(path) was unmounted")
    case .stopped: log.info("stopped serving \(path)")
    case .failed(let reason):
      log.error("\(path): \(reason)")
      error = MountError("\(path): \(reason)")
    }
    block.close()
    whenGivenBack(error)
    guard isRemoved, ending != .unmounted, let point = session.mountPoint, !point.places.isEmpty else {
      return departure.end { [self] in whenGone() }
    }
    log.error("\(path) stays mounted, and every operation there fails, until it is unmounted")
    session.refuse(ENODEV, on: reactor.loop) { [self] in departure.end { [self] in whenGone() } }
  }

  /// Counts a mount that was refused, where there is a filesystem to count it in, and a device that takes
  /// commands.
  private func recordRefusal() {
    guard block.controller.state == .ready, block.underWay.requests == 0, let record = service.recordOfRefusal
    else { return }
    // A device that cannot be written has been told of.
    try? SynchronousDevice(block).write(block: record.block, record.bytes, forceUnitAccess: true)
  }

  /// Logs that the device lost what was written to it.
  private func logLoss() {
    guard !hasToldLoss, let loss = block.loss else { return }
    hasToldLoss = true
    log.critical(
      "\(block.name) was started anew, or lost power, and \(loss), written before, is not there: nothing is written any more; unmount it, and mount it again to have what was synced"
    )
  }

  /// Commands that failed are logged with what the device said of them, so many at a time, and not more often
  /// than this (ns).
  private static let failuresAtATime = 4
  private static let failureInterval: UInt64 = 15_000_000_000

  /// Logs commands that failed since it was last called; what is left out is counted.
  private func logFailedCommands() {
    let count = block.counters.errors
    guard count > loggedFailures, service.now.monotonic >= nextFailureLog else { return }
    let news = Int(min(count - loggedFailures, UInt64(Self.failuresAtATime)))
    for error in block.errors.suffix(news) { log.error("\(block.name): \(error)") }
    let others = count - loggedFailures - UInt64(news)
    if others > 0 { log.error("\(block.name): \(others) more commands failed") }
    loggedFailures = count
    nextFailureLog = service.now.monotonic &+ Self.failureInterval
  }

  /// Logs what the filesystem has to say.
  private func passNotices() {
    guard !service.notices.isEmpty else { return }
    for notice in service.notices { log.warning("\(block.name): \(notice)") }
    service.notices.removeAll()
  }
}
