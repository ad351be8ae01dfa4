import ArgumentParser
import CMachine
import Checker
import Device
import Glibc

/// `fsck.varve`: checks a filesystem, and mends it.
@main
struct Fsck: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "fsck.varve",
    abstract: "Check a varve filesystem, and mend it when asked to.",
    discussion: """
      Without -n, -p, -a or -y every repair is asked for on a terminal; elsewhere nothing is changed. A log that is still to be \
      replayed is replayed; with -n in memory only.

      The exit status is that of fsck(8): 0 clean, 1 mended, 4 errors left, 8 the check could not be done, 16 usage.
      """)

  @Flag(name: .customShort("n"), help: "Change nothing.")
  var checkOnly = false
  @Flag(
    name: .customShort("p"),
    help: "Mend without asking what is safe: counts and copies. Nothing to do after a clean unmount.")
  var preen = false
  @Flag(name: .customShort("a"), help: "The same as -p.")
  var automatic = false
  @Flag(
    name: .customShort("y"), help: "Mend everything that can be mended without inventing or losing anything.")
  var yes = false
  @Flag(name: .customShort("f"), help: "Check even what was unmounted in order; with -p and -a.")
  var force = false
  @Flag(name: .customShort("v"), help: "Say more.")
  var verbose = false
  @Flag(name: .customShort("C"), help: "Show progress.")
  var progress = false
  @Flag(help: "Print the result as JSON.")
  var json = false
  @Argument(help: "The device: nvme://0000:01:00.0/1, or a path to an image file.")
  var device: String

  static func main() {
    do {
      var command = try parseAsRoot()
      try command.run()
    } catch let status as ExitCode {
      Glibc.exit(status.rawValue)
    } catch {
      let isHelp = exitCode(for: error).isSuccess
      Message.write(fullMessage(for: error), to: isHelp ? STDOUT_FILENO : STDERR_FILENO)
      Glibc.exit(isHelp ? 0 : ExitStatus.usage)
    }
  }

  func validate() throws {
    guard [checkOnly, preen || automatic, yes].count(where: { $0 }) <= 1 else {
      throw ValidationError("choose one of -n, -p (or -a), and -y")
    }
  }

  func run() throws {
    let status: Int32
    do {
      let block = try DeviceLocator.open(device, arenaFrames: DeviceBlocks.frames) {
        Message.complain("\($0)")
      }
      defer { block.close() }
      let identity = try Identity(of: block)
      let label = identity.label.isEmpty ? device : String(decoding: identity.label, as: UTF8.self)
      status = try Session(label, DeviceBlocks(block), choice, self).run()
    } catch let error as DeviceError {
      Message.complain(error.description)
      throw ExitCode(ExitStatus.operational)
    } catch let error as ImageError {
      Message.complain("\(device): \(error)")
      throw ExitCode(ExitStatus.operational)
    }
    throw ExitCode(status)
  }

  /// What is done with findings.
  private var choice: Choice {
    if checkOnly { return .none }
    if preen || automatic { return .safe }
    if yes { return .all }
    return isatty(STDIN_FILENO) != 0 && isatty(STDOUT_FILENO) != 0 ? .ask : .none
  }
}

/// fsck(8)'s exit statuses.
enum ExitStatus {
  static let clean: Int32 = 0
  static let mended: Int32 = 1
  static let errorsLeft: Int32 = 4
  static let operational: Int32 = 8
  static let usage: Int32 = 16
}

/// Which repairs are made.
enum Choice {
  case none, safe, all, ask
}

/// Lines for people.
enum Message {
  static func complain(_ text: String) { write("fsck.varve: \(text)", to: STDERR_FILENO) }

  static func write(_ text: String, to stream: Int32) {
    let line = Array("\(text)\n".utf8)
    _ = Glibc.write(stream, line, line.count)
  }
}
