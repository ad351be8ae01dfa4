import Block
import Control
import Device
import FileProtocol
import FileSystem
import Format
import Glibc
import Logging
import MountSession
import NVMe
import PCI
import Reactor
import ToolSupport

/// A mount of one namespace, from its preparation to its end: its memory, queue pair, filesystem and
/// connection to the kernel, which it shares with no other mount. Belongs to the event loop's thread.
final class ServedMount {
  let namespace: UInt32
  let order: MountOrder
  let block: NamespaceDevice
  let service: FileSystem
  let reactor: Reactor
  let trace: TraceService
  /// The client of the control socket that has requested the mount, until it is usable; nil for the daemon's
  /// own.
  var client: UInt64?
  /// Called once the namespace is closed; with the error when not everything could be written.
  var whenGivenBack: (MountError?) -> Void = { _ in }
  /// Called after that, once the mount has no users any more.
  var whenGone: () -> Void = {}
  /// Called now and then while the mount is served.
  var whenAdvanced: () -> Void = {}

  private let place: ServedDevice
  private let session: MountSession
  private let departure: Departure
  private let helper: Helper
  private let log: Logger
  /// Logs each event, where that is asked for.
  private let eventLog: EventLog?
  /// Makes the mount read-only, after a warning of the device (`health=ro`).
  private var readOnlyRemount: ReadOnlyRemount?
  private var isUsable = false
  private var hasToldLoss = false
  /// How many failed commands were logged, or counted in the log, and when more may be (ns, monotonic).
  private var loggedFailures: UInt64 = 0
  private var nextFailureLog: UInt64 = 0
  private var isLeaving = false
  /// Whether the controller is gone, or is being removed, while the mount may still have users.
  private var isRemoved = false

  /// Allocates memory and a queue pair for a filesystem. Blocks while the controller creates the queues.
  /// - Parameter place: the device's location.
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
    reactor.usesKernelTime = order.options.writesBack
    session = try MountSession(
      service: service, slots: slots, arena: arena.base, options: order.sessionOptions)
    session.helper = helper
    departure = Departure(reactor, session, helper)
    trace = TraceService(block, service)
    eventLog = log.logLevel <= .trace ? EventLog(service, log) : nil
    service.deviceStatus = { [block] in block.failure(on: $0)?.description }
    log.debug("\(Self.summary(block)), cache of \(order.cacheFrames) blocks, \(slots.count) slots")
    reactor.afterAdvance = { [unowned self] in
      eventLog?.pass()
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

  /// Starts the filesystem.
  /// - Parameter whenReady: called once, with nil when the filesystem can be served, or with the error; the
  ///   mount has ended then.
  func begin(_ whenReady: @escaping (MountError?) -> Void) {
    reactor.begin { [unowned self] failure in
      guard let failure else {
        logStart()
        return whenReady(nil)
      }
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

  private static func summary(_ block: NamespaceDevice) -> String {
    let namespace = block.namespace
    let wakes = block.interruptDescriptor == nil ? "polled" : "with an interrupt"
    return "\(block.name): \(block.blockCount) blocks of 4 KiB in LBAs of \(namespace.lbaSize ?? 0) bytes, "
      + "metadata of \(namespace.metadataSize) bytes, queue \(block.queueIdentifier) of \(block.queueDepth), \(wakes)"
  }

  /// Logs what the mount has found.
  private func logStart() {
    guard let superblock = service.superblock else { return }
    let state = service.state
    let maker = String(decoding: superblock.programVersion, as: UTF8.self)
    let features = [
      superblock.incompatibleFeatures, superblock.readOnlyFeatures, superblock.compatibleFeatures,
    ].map { "0x" + String($0, radix: 16) }.joined(separator: " ")
    log.debug(
      "\(block.name): filesystem \(served.uuid) \"\(served.label)\", format version \(Superblock.version), made by mkfs.varve \(maker.isEmpty ? "of unknown version" : maker), features \(features)"
    )
    log.debug(
      "\(block.name): mounted checkpoint \(state.mountedCheckpoint) and \(state.replayedLogWrites) log writes after it; \(state.freeSegments) of \(state.segments) segments free\(state.isReadOnly ? "; read-only" : "")"
    )
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

  /// Handles a warning of the device that written data may be lost.
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

  /// Ends the service because the controller is being removed, or is gone. The mount stays, and every request
  /// is answered with ENODEV, until it is unmounted: later writes of programs must not go into the directory
  /// below.
  func leaveRemoved() {
    isRemoved = true
    guard !isLeaving else { return }
    isLeaving = true
    reactor.stop()
  }

  /// The mount's state. It is `leaving` once the kernel has unmounted it, even before its channel reports the
  /// end.
  var state: ServedDevice.State {
    if isLeaving { return .leaving }
    guard isUsable else { return .starting }
    // The first mount point may be unmounted while others (bind mounts) exist.
    return !session.isDestroyed && session.mountPoint?.places.isEmpty == false ? .mounted : .leaving
  }

  /// Whether the kernel's page cache of the mount is write-back, and whether direct writes to one file may go
  /// on at the same time.
  var writesBack: Bool { session.writesBack }
  var writesInParallel: Bool { session.writesInParallel }
  /// Beyond how many known inodes the kernel is asked to drop some; nil where it cannot be asked.
  var knownInodeLimit: Int? { session.knownInodeLimit }

  /// Its description for tools.
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
    eventLog?.pass()
    let state = service.state
    log.debug(
      "\(block.name): checkpoint \(state.checkpoint) is the last, log write \(state.logSequence) the last in the log"
    )
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

  /// Counts a refused mount in the filesystem's health record, where there is a filesystem and the device
  /// accepts commands.
  private func recordRefusal() {
    guard block.controller.state == .ready, block.underWay.requests == 0, let record = service.recordOfRefusal
    else { return }
    // A failure is ignored: the device's write errors are logged elsewhere.
    try? SynchronousDevice(block).write(block: record.block, record.bytes, forceUnitAccess: true)
  }

  /// Logs that the device has lost written data.
  private func logLoss() {
    guard !hasToldLoss, let loss = block.loss else { return }
    hasToldLoss = true
    log.critical(
      "\(block.name) was started anew, or lost power, and \(loss), written before, is not there: nothing is written any more; unmount it, and mount it again to have what was synced"
    )
  }

  /// Limits on logging failed commands with their status: how many at a time, and the shortest interval (ns).
  private static let failuresAtATime = 4
  private static let failureInterval: UInt64 = 15_000_000_000

  /// Logs commands that failed since the last call; those beyond the limit are only counted.
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

  /// Logs the filesystem's notices.
  private func passNotices() {
    guard !service.notices.isEmpty else { return }
    for notice in service.notices { log.warning("\(block.name): \(notice)") }
    service.notices.removeAll()
  }
}
