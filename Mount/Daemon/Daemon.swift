import Block
import CMachine
import Confinement
import Control
import Device
import Glibc
import Logging
import MountSession
import NVMe
import NVMeSpec
import Reactor
import ToolSupport

/// The process that drives a controller, and serves all mounts of its namespaces.
///
/// Everything happens in one event loop's thread. The daemon begins with the mount it was started for; other
/// processes of its user request more over the control socket. It ends with the last.
final class Daemon {
  let controller: Controller
  let loop: EventLoop
  let helper: Helper
  private(set) var mounts: [ServedMount] = []
  /// The controller's location, as named by the first mount.
  let place: ServedDevice

  /// Readable when the controller is being removed.
  private let removal: Int32?
  /// Readable when the bus has reported an error of the controller.
  private let busError: Int32?
  private let log: Logger
  /// Where its thread runs; decided with the first mount.
  private(set) var placement: Placement?
  /// Whether the log goes to standard error.
  private let logsToTerminal: Bool
  private var control: ControlService?
  /// The mount that the daemon was started for.
  private weak var own: ServedMount?
  private var isRemoved = false
  private var isClosed = false
  /// Whether the last message logged was that the controller does not answer.
  private var isOffline = false
  /// How many of its restarts and losses of power were logged.
  private var loggedLosses: UInt64 = 0
  /// The controller's critical warning at the last check.
  private var loggedWarning: UInt8 = 0
  /// Whether no further mount is accepted.
  private var hasFinished = false
  /// Why the daemon's own mount failed, or not all of it could be written.
  private var failure: MountError?

  /// - Parameters:
  ///   - place: the controller's location.
  ///   - controller: the daemon closes it at its end.
  ///   - signals: the signals on which the daemon unmounts everything and ends.
  ///   - logsToTerminal: whether the log goes to standard error.
  init(
    _ place: ServedDevice, _ controller: Controller, _ signals: SignalDescriptor, _ log: Logger,
    logsToTerminal: Bool
  ) throws {
    self.place = place
    self.controller = controller
    self.log = log
    self.logsToTerminal = logsToTerminal
    loop = try EventLoop()
    helper = try Helper(removing: ControlFolder.own.socket(of: getpid()), loop)
    SystemLog.helper.store(helper.descriptor, ordering: .relaxed)
    log.info("Varve \(varveVersion), process \(getpid()): \(place.device)")
    log.debug("\(controller.summary)")
    log.debug("\(sysconf(Int32(_SC_NPROCESSORS_ONLN))) processors; the daemon runs in one thread")
    for remark in controller.remarks { log.notice("\(controller.function.name): \(remark)") }
    if let warning = ImageExposure.warning(of: place.device) { log.warning("\(warning)") }
    removal = controller.function.removalDescriptor
    busError = controller.function.errorDescriptor
    loop.watch(signals.descriptor) { [unowned self] in while signals.take() != nil { leave() } }
    if let removal { loop.watch(removal) { [unowned self] in leaveRemoved() } }
    if let busError { loop.watch(busError) { [unowned self] in handleBusError(busError) } }
  }

  /// Makes the daemon's own mount, then serves until the last mount is gone.
  /// - Parameter whenUsable: called once the mount can be used; returns false when the caller has ended.
  /// - Throws: why the mount failed, or that not everything could be written.
  func run(_ order: MountOrder, at point: MountPoint, whenUsable: @escaping () -> Bool) throws {
    defer { giveBack() }
    do throws(ControlError) {
      control = try ControlService(self)
    } catch {
      // Without a control socket the mount still works.
      log.warning("\(error)")
    }
    placement = Placement(order.options.following, loop, helper, log)
    let mount = try self.mount(order, place)
    mount.begin { [unowned self, unowned mount] failure in
      guard failure == nil else { return }
      do throws(MountError) {
        let kernel = try KernelMount(at: point, order.sessionOptions)
        if let shortcoming = kernel.shortcoming {
          log.warning("umount and sync do not wait until all is written: \(shortcoming)")
        }
        do throws(MountError) {
          try confine(order)
        } catch {
          helper.unmount(kernel.point, detaches: true) { _ in }
          throw error
        }
        try mount.serve(kernel.takeDescriptor(), at: kernel.point) { if !whenUsable() { mount.leave() } }
      } catch {
        self.failure = error
        mount.leave()
      }
    }
    own = mount
    loop.run { !mounts.isEmpty }
    if let failure { throw failure }
  }

  /// Confines the daemon.
  private func confine(_ order: MountOrder) throws(MountError) {
    guard order.options.confines else { return log.warning("the daemon is not confined (confine=no)") }
    let transport: Transport =
      switch place.kind {
      case .function: .vfio
      case .socket: .vfioUser
      case .image: .emulated
      }
    do throws(ConfinementError) {
      if logsToTerminal {
        try Confinement.begin(transport, reportingTo: STDERR_FILENO, lead: Array("mount.varve: ".utf8))
      } else {
        try Confinement.begin(
          transport, reportingTo: helper.descriptor, lead: Helper.lead(ofPriority: LOG_CRIT))
      }
      log.debug("confined: no capabilities, and only the system calls of a daemon (\(transport))")
    } catch {
      throw MountError("the daemon cannot be confined: \(error)", remedy: "mount with -o confine=no")
    }
  }

  /// Allocates the memory and queues of a mount. The caller begins it.
  func mount(_ order: MountOrder, _ place: ServedDevice) throws -> ServedMount {
    var log = log
    if order.options.traces { log.logLevel = .trace }
    let mount = try ServedMount(order, place, controller, helper, loop, log)
    mount.whenAdvanced = { [unowned self] in checkController() }
    mount.whenGivenBack = { [unowned self, unowned mount] failure in
      if mount === own, self.failure == nil { self.failure = failure }
      control?.forget(mount, failure)
      // The kernel's removal of the controller, and the unmount of its last filesystem, wait for this.
      guard !controller.hasQueuePairs else { return }
      if isRemoved { giveBack() } else if isLeaving { closeController() }
    }
    mount.whenGone = { [unowned self, unowned mount] in mounts.removeAll { $0 === mount } }
    mounts.append(mount)
    return mount
  }

  /// Logs when the controller stops answering, answers again, or has failed, and changes of its health.
  private func checkController() {
    checkHealth()
    switch controller.state {
    case .failed where controller.lostErrno == ENODEV: leaveRemoved()
    case .offline where !isOffline:
      isOffline = true
      log.error("\(controller.function.name) does not answer; waiting for it")
    case .ready where isOffline:
      isOffline = false
      let how = controller.cacheLosses == loggedLosses ? "" : ", started anew or after a loss of power"
      loggedLosses = controller.cacheLosses
      log.warning("\(controller.function.name) answers again\(how)")
    default: break
    }
  }

  /// Logs the controller's new warnings, and passes them to the mounts.
  private func checkHealth() {
    guard let warning = controller.health?.criticalWarning, warning != loggedWarning else { return }
    let news = SMARTLog.meanings(of: warning & ~loggedWarning)
    loggedWarning = warning
    for meaning in news { log.critical("\(controller.function.name) warns: \(meaning)") }
    if controller.endangersData { for mount in mounts { mount.handleHealthWarning() } }
  }

  /// Handles a bus error: resets the controller, which then continues with the commands in flight.
  private func handleBusError(_ descriptor: Int32) {
    cm_eventfd_clear(descriptor)
    log.error("the bus reports an error of \(controller.function.name) (AER); it is reset")
    controller.handleBusError()
  }

  /// Unmounts everything.
  func leave() {
    hasFinished = true
    for mount in mounts { mount.leave() }
  }

  /// Ends the service of all mounts because the controller is being removed, or is gone.
  private func leaveRemoved() {
    guard !isRemoved else { return }
    isRemoved = true
    hasFinished = true
    log.error("\(controller.function.name) has gone, or is being taken away")
    if let removal { loop.unwatch(removal) }
    for mount in mounts { mount.leaveRemoved() }
  }

  /// Closes the controller; mounts that have lost it may stay.
  private func giveBack() {
    control = nil
    closeController()
  }

  private func closeController() {
    for descriptor in [removal, busError] { if let descriptor { loop.unwatch(descriptor) } }
    controller.close()
    if !isClosed { log.debug("\(controller.function.name) is shut down") }
    isClosed = true
  }

  /// Whether the daemon accepts no further mount.
  var isLeaving: Bool { hasFinished || mounts.allSatisfy { $0.state == .leaving } }
}

extension Controller {
  /// What was found at the bring-up, for the log.
  fileprivate var summary: String {
    "\(function.name): \(identity.modelNumber), serial number \(identity.serialNumber), firmware "
      + "\(identity.firmwareRevision), NVMe \(identity.version), namespaces "
      + "\(namespaces.map { "\($0.identifier)" }.joined(separator: " ")), transfers of up to "
      + "\(capabilities.transferFrames * 4) KiB, \(capabilities.hasVolatileCache ? "a" : "no") volatile cache, "
      + "admin queue of \(adminDepth)"
  }
}
