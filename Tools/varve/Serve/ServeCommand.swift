import ArgumentParser
import CMachine
import Device
import Glibc
import PCI
import VFIOUserServer

/// `varve serve`: the emulated controller for other processes.
struct Serve: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Serve an image file as an NVMe controller at a vfio-user socket.",
    discussion: """
      Any vfio-user client can use it, one at a time; for Varve its name is vfio-user://PATH. It ends on SIGTERM or \
      SIGINT. A client that stores to mapped doorbells is looked after by polling: without a pause while it is busy, \
      up to every 2 ms while it is idle.
      """)

  @Argument(help: "The image: an existing file, or emulated:PATH?key=value&….")
  var image: String
  @Option(help: ArgumentHelp("Where clients connect.", valueName: "path"))
  var socket: String
  @Option(help: ArgumentHelp("Who may connect: the socket's permission bits, in octal.", valueName: "bits"))
  var mode = "600"
  @Option(
    help: ArgumentHelp("How long to poll after the last command before sleeping begins.", valueName: "us"))
  var poll = 1000.0
  @Flag(help: "Poll without ever sleeping while a client has the controller enabled.")
  var spin = false
  @Flag(inversion: .prefixedNo, help: "Offer the doorbells for mapping.")
  var mmap = true
  @Flag(name: .shortAndLong, help: "Say when clients come and go.")
  var verbose = false

  func validate() throws {
    guard let bits = UInt32(mode, radix: 8), bits <= 0o777 else {
      throw ValidationError("--mode \(mode) is no octal number up to 777")
    }
    guard poll >= 0, poll <= 1e9 else { throw ValidationError("--poll \(poll) is not between 0 and 1e9") }
  }

  func run() throws {
    guard case .image(let path, _, let choices) = try DeviceName(image) else {
      throw DeviceError("\(image) is no image; name an existing file, or emulated:PATH?key=value")
    }
    let signals = try Self.signalDescriptor()
    let controller = try DeviceLocator.emulated(path, choices)
    var options = ServerOptions()
    options.sharesDoorbells = mmap
    options.spins = spin
    options.spinTime = UInt64(poll * 1000)
    options.mode = UInt32(mode, radix: 8) ?? options.mode
    let server: Server
    do throws(FunctionError) {
      server = try Server(controller, socket: socket, options: options)
    } catch { throw DeviceError(error.description) }
    server.warn = { Varve.complain("\(socket): \($0)") }
    if verbose { server.report = { Self.say("\(socket): \($0)") } }
    Self.say("serving \(image) as vfio-user://\(socket)")
    server.run(until: signals)
  }

  /// A descriptor that is readable once the process is told to end.
  private static func signalDescriptor() throws -> Int32 {
    var set = sigset_t()
    sigemptyset(&set)
    for signal in [SIGTERM, SIGINT, SIGHUP] { sigaddset(&set, signal) }
    pthread_sigmask(SIG_BLOCK, &set, nil)
    let descriptor = cm_signalfd(&set)
    guard descriptor >= 0 else {
      throw DeviceError("no more files can be opened; raise the limit: ulimit -n")
    }
    return descriptor
  }

  /// A line for scripts that wait for the socket; not kept back when the output is a pipe.
  private static func say(_ line: String) {
    let bytes = Array("\(line)\n".utf8)
    _ = write(STDOUT_FILENO, bytes, bytes.count)
  }
}
