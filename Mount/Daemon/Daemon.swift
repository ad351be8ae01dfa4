import Block
import Control
import Device
import Glibc
import Logging
import MountSession
import NVMe
import Reactor

/// The process that drives a controller, and serves all of its namespaces that are mounted.
///
/// Everything happens in one event loop's thread. The daemon begins with the mount it was started for; other
/// processes of its user ask it over the control socket for more. It leaves with the last.
final class Daemon {
  let controller: Controller
  let loop: EventLoop
  private(set) var mounts: [ServedMount] = []
  /// Where the controller lies, as the first mount named it.
  let place: ServedDevice

  private let log: Logger
  private var control: ControlService?
  /// Whether no more is to be mounted.
  private var hasFinished = false
  /// Why the daemon's own mount could not be made, or not all of it could be written.
  private var failure: MountError?

  /// - Parameters:
  ///   - place: where the controller lies.
  ///   - controller: which the daemon closes at its end.
  ///   - signals: what asks the daemon to unmount everything and leave.
  init(
    _ place: ServedDevice, _ controller: Controller, _ signals: SignalDescriptor, _ log: Logger
  ) throws(ReactorError) {
    self.place = place
    self.controller = controller
    self.log = log
    loop = try EventLoop()
    loop.watch(signals.descriptor) { [unowned self] in while signals.take() != nil { leave() } }
    if let removal = controller.function.removalDescriptor {
      loop.watch(removal) { [unowned self] in
        loop.unwatch(removal)
        log.error("\(controller.function.name) is being taken away")
        leave()
      }
    }
  }

  /// Makes the daemon's own mount, then serves until the last mount is gone.
  /// - Parameter whenUsable: called once the mount can be used; returns false when nobody wants it any more.
  /// - Throws: why it could not be made, or that not everything could be written.
  func run(_ order: MountOrder, at point: MountPoint, whenUsable: @escaping () -> Bool) throws {
    defer { controller.close() }
    do throws(ControlError) {
      control = try ControlService(self)
    } catch {
      // A mount that tools cannot ask is better than none.
      log.warning("\(error)")
    }
    defer { control = nil }
    let mount = try self.mount(order, place)
    mount.begin { [unowned self, unowned mount] failure in
      guard failure == nil else { return }
      do throws(MountError) {
        let kernel = try KernelMount(at: point, order.sessionOptions)
        try mount.serve(kernel.takeDescriptor(), at: kernel.point) { if !whenUsable() { mount.leave() } }
      } catch {
        self.failure = error
        mount.leave()
      }
    }
    let forget = mount.whenGone
    mount.whenGone = { [unowned self] failure in
      if self.failure == nil { self.failure = failure }
      forget(failure)
    }
    loop.run { !mounts.isEmpty }
    if let failure { throw failure }
  }

  /// Takes what a mount needs. The caller begins it.
  func mount(_ order: MountOrder, _ place: ServedDevice) throws -> ServedMount {
    let mount = try ServedMount(order, place, controller, loop, log)
    mount.whenGone = { [unowned self, unowned mount] failure in
      control?.forget(mount, failure)
      mounts.removeAll { $0 === mount }
    }
    mounts.append(mount)
    return mount
  }

  /// Unmounts everything.
  func leave() {
    hasFinished = true
    for mount in mounts { mount.leave() }
  }

  /// Whether there will be no further mount here.
  var isLeaving: Bool { hasFinished || mounts.allSatisfy { $0.state == .leaving } }
}
