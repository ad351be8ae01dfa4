import ArgumentParser
import Glibc
import ToolSupport

/// `fsck.varve`: checks a filesystem and mends it.
package struct Fsck: ParsableCommand {
  package static let configuration = CommandConfiguration(
    commandName: "fsck.varve",
    abstract: "Check a varve filesystem, and mend it.",
    discussion: """
      Without -n, -p or -y it asks on a terminal, and changes nothing elsewhere. A log that is still to be replayed is \
      replayed first; with -n only in memory.

      Exit status: 0 clean, 1 errors corrected, 4 errors left, 8 could not be checked, 16 wrong usage, 32 interrupted.
      """, version: "fsck.varve \(varveVersion)")

  @Flag(name: .customShort("n"), help: "Change nothing; answer every question with no.")
  var changesNothing = false
  @Flag(
    name: [.customShort("p"), .customShort("a")],
    help:
      "Mend without asking what is safe: counts and copies. Does nothing when the filesystem is clean and no error was recorded."
  )
  var preens = false
  @Flag(name: .customShort("y"), help: "Answer every question with yes.")
  var mendsAll = false
  @Flag(name: .customShort("f"), help: "With -p, check also when the filesystem is clean, and all data.")
  var isForced = false
  @Flag(name: .short, help: "Say more.")
  var verbose = false
  @Flag(name: .customShort("C"), help: "Show how far the check has come.")
  var showsProgress = false
  @Flag(name: .customLong("no-data"), help: "Do not verify the checksums of file data.")
  var skipsData = false
  @Flag(
    name: .customLong("drop-log"),
    help: "When the log cannot be replayed, give up what lies behind its damage, or all of it if need be.")
  var dropsLog = false

  @Flag(
    name: .customLong("drop-tables"),
    help: "With -y: give up table blocks that cannot be read, and with each up to 256 files.")
  var dropsTables = false
  @Flag(
    name: .customLong("last-superblock"),
    help:
      "Take the copy of the superblock in the last block, though the first block is none or cannot be read: only if nothing else was put on the device since."
  )
  var takesLastSuperblock = false
  @Flag(help: "Print what was found as JSON.")
  var json = false
  @Argument(help: "The device: nvme://0000:01:00.0/1, a path to an image file, UUID=… or LABEL=….")
  var device: String

  package init() {}

  package func validate() throws {
    guard [changesNothing, preens, mendsAll].filter({ $0 }).count <= 1 else {
      throw ValidationError("only one of -n, -p (or -a) and -y can be given")
    }
    guard !(changesNothing && dropsLog) else {
      throw ValidationError("--drop-log changes the filesystem; -n does not")
    }
  }

  /// Whom to ask about repairs.
  private var consent: Consent {
    if changesNothing { return .none }
    if preens { return .safe }
    if mendsAll { return .all }
    return isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1 && !json ? .ask : .none
  }

  package func run() throws {
    signal(SIGINT) { _ in _exit(ExitStatus.cancelled.rawValue) }
    let console = Console(device: device, isQuiet: json, isVerbose: verbose, showsProgress: showsProgress)
    let inspection = Inspection(
      device: device, consent: consent, isForced: isForced, skipsData: skipsData,
      dropsLog: dropsLog, dropsTables: dropsTables,
      takesLastSuperblock: takesLastSuperblock, console: console)
    let result = inspection.run()
    console.finish(result, json: json)
    throw ExitCode(result.status.rawValue)
  }

  package static func main() {
    do {
      var command = try parseAsRoot()
      try command.run()
    } catch let status as ExitCode {
      Glibc.exit(status.rawValue)
    } catch {
      guard exitCode(for: error) == .success else {
        Console.complain("fsck.varve: \(message(for: error)); see: fsck.varve --help")
        Glibc.exit(ExitStatus.usage.rawValue)
      }
      exit(withError: error)
    }
  }
}
