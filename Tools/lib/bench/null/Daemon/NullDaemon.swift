import ArgumentParser
import CMachine
import FileProtocol
import Glibc
import MemoryService
import MountSession
import PCI
import Reactor

/// Mounts a filesystem that answers from memory, in the foreground, until it is unmounted or told to end.
@main
struct NullDaemon: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "null-daemon", abstract: "The floor under a FUSE filesystem: this mount answers from memory."
  )

  @Argument(help: "Where to mount.") var directory: String
  @Flag(help: "Drop what is written to files; they read as zeros.") var discard = false
  @Flag(help: "Have the kernel ask at every open and close.") var statefulOpen = false
  @Option(help: "How long to poll before sleeping, in microseconds.") var spin: UInt64?
  @Option(help: "How many requests can be under way.") var slots = 64

  static func main() {
    OtherRole.runIfMeant()
    main(nil)
  }

  func run() throws {
    let point = try MountPoint.prepare(directory)
    let signals = SignalDescriptor()
    let layout = SlotLayout(count: slots)
    let arena = try DMAArena(frames: layout.frameCount, isShared: false)
    let service = MemoryService(slots: layout.count, arena: arena.base, keepsData: !discard)
    let reactor = try Reactor(service: service, device: nil, slots: layout)
    if let spin { reactor.spin = spin * 1000 }
    var options = SessionOptions()
    options.source = "null"
    options.subtype = "null"
    options.allowOther = geteuid() == 0
    options.opensInKernel = !statefulOpen
    let session = try MountSession(service: service, slots: layout, arena: arena.base, options: options)
    try session.mount(at: point)
    let helper = try Helper(removing: "", reactor.loop)
    session.helper = helper
    let departure = Departure(reactor, session, helper)
    reactor.loop.watch(signals.descriptor) { while signals.take() != nil { departure.begin() } }
    session.whenUsable = {
      session.raiseReadahead()
      print("mounted at \(point.path)")
      fflush(nil)
    }
    try reactor.start()
    let ending = reactor.serve(session)
    var isGone = false
    departure.end { isGone = true }
    reactor.loop.run { !isGone }
    report(ending, reactor.counters)
  }

  private func report(_ ending: Ending, _ counters: ReactorCounters) {
    let kinds = counters.byOperation.map { "\($0.operation) \($0.count)" }.joined(separator: ", ")
    print("\(ending): \(counters.requests) requests (\(kinds)), \(counters.sleeps) sleeps")
  }
}
