import Block
import Control
import Device
import FileSystem
import Glibc
import Logging
import MountSession
import PCI
import Reactor

/// One mounted filesystem, from its device to its mount point, for as long as it is mounted.
struct Daemon {
  let device: String
  let point: MountPoint
  let options: MountOptions

  /// Mounts, serves and unmounts.
  /// - Parameters:
  ///   - whenWaiting: called once when somebody else still has the device, with a line that says so.
  ///   - whenUsable: called once the mount is usable; returns false when nobody wants it any more.
  /// - Throws: why it could not be mounted, or that not everything could be written.
  func run(
    verbose: Bool, whenWaiting: (String) -> Void, whenUsable: @escaping () -> Bool
  ) throws {
    let signals = SignalDescriptor()
    Survival.prepare()
    var log = Logger(label: "mount.varve")
    if verbose { log.logLevel = .debug }
    let slots = SlotLayout()
    let arena = try DMAArena(frames: slots.frameCount + cacheFrames, name: "varve")
    Survival.populate(arena)
    let block = try DeviceLocator.open(device, arena: arena, whenWaiting: whenWaiting)
    defer { block.close() }
    let place = ServedDevice(device, block)
    // The folder the daemon was started in may be on another filesystem that is to be unmounted, or below its own.
    chdir("/")

    let service = FileSystem(
      memory: WorkingMemory(
        base: arena.base, firstFrame: UInt32(slots.frameCount), frameCount: UInt32(cacheFrames),
        slots: slots.count),
      blockCount: block.blockCount, hasVolatileCache: block.hasVolatileCache, canDiscard: block.canDiscard,
      options: filesystemOptions)
    let reactor = try Reactor(service: service, device: block, slots: slots)
    let session = try MountSession(
      service: service, slots: slots, arena: arena.base, options: sessionOptions(of: block))
    let departure = Departure(reactor, session, signals)
    let control = openControl(place, block, service, session, reactor, log)
    defer { withExtendedLifetime(control) {} }
    reactor.afterAdvance = { [log] in Self.pass(service, on: log) }
    do throws(ReactorError) {
      try reactor.start()
    } catch {
      throw MountError("\(device): \(error.problem)", remedy: error.remedy)
    }
    try session.mount(at: point)
    session.whenUsable = { [log, point] in
      session.raiseReadahead()
      log.info("mounted \(block.name) at \(point.path)")
      if !whenUsable() { departure.begin() }
    }
    let ending = reactor.serve(session)
    departure.end()
    try report(ending, log)
  }

  /// Opens the control socket. A mount that tools cannot ask is better than none.
  private func openControl(
    _ place: ServedDevice, _ block: any BlockDevice, _ service: FileSystem, _ session: MountSession,
    _ reactor: Reactor, _ log: Logger
  ) -> ControlService? {
    do throws(ControlError) {
      return try ControlService(place, block, service, session, reactor)
    } catch {
      log.warning("\(error)")
      return nil
    }
  }

  /// Logs what the filesystem has to say.
  private static func pass(_ service: FileSystem, on log: Logger) {
    guard !service.notices.isEmpty else { return }
    for notice in service.notices { log.warning("\(notice)") }
    service.notices.removeAll()
  }

  private func report(_ ending: Ending, _ log: Logger) throws {
    switch ending {
    case .unmounted: log.info("\(point.path) was unmounted")
    case .stopped: log.info("stopped serving \(point.path)")
    case .failed(let reason):
      log.error("\(reason)")
      throw MountError(reason)
    }
  }

  /// The frames of the arena that are the filesystem's.
  private var cacheFrames: Int { Int(options.cacheBytes) / DMAArena.frameSize }

  private var filesystemOptions: Options {
    var filesystem = Options()
    filesystem.readOnly = options.readOnly
    filesystem.accessTimes =
      switch options.accessTimes {
      case .never: .never
      case .relative: .relative
      case .always: .always
      }
    filesystem.commitInterval = options.commitSeconds * 1_000_000_000
    filesystem.discards = options.discards
    return filesystem
  }

  private func sessionOptions(of block: any BlockDevice) -> SessionOptions {
    var session = SessionOptions()
    session.source = options.source ?? device
    session.allowOther = options.allowOther ?? (geteuid() == 0)
    session.mountFlags = options.mountFlags
    return session
  }
}
