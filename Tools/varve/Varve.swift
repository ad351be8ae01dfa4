import ArgumentParser
import Device
import Glibc
import ToolSupport

/// The tool for everything but making, checking and mounting a filesystem.
struct Varve: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "varve",
    abstract: "Look at and measure NVMe controllers and Varve filesystems.",
    discussion: """
      DEVICE is nvme://0000:01:00.0/1, vfio-user:///run/ctl/cntrl?nsid=1, an image file, \
      emulated:/path/disk.img?key=value, UUID=… or LABEL=….
      """, version: "varve \(varveVersion)",
    subcommands: [
      List.self, Bind.self, Unbind.self, Doctor.self, Identify.self, Namespaces.self, SMART.self, Log.self,
      Verify.self,
      Stat.self, Trace.self, FormatNamespace.self, Wipe.self, Reset.self, Serve.self, Bench.self, Dump.self,
    ])

  /// Parses the command line, runs the command, and ends the process: 0 for success, 1 for a failure, 2 for a command
  /// line that makes no sense.
  static func runAndExit() -> Never {
    do {
      var command = try parseAsRoot()
      try command.run()
      Glibc.exit(0)
    } catch {
      end(after: error)
    }
  }

  private static func end(after error: any Error) -> Never {
    switch exitCode(for: error) {
    case .success:
      print(fullMessage(for: error))
      Glibc.exit(0)
    case .validationFailure:
      complain("\(line(for: error)); see: \(help(for: error))")
      Glibc.exit(2)
    default:
      if !(error is ExitCode) { complain("\(error)") }
      Glibc.exit(1)
    }
  }

  /// What the parser says, in one line: it lists many choices a line each.
  private static func line(for error: any Error) -> String {
    let lines = message(for: error).split(separator: "\n")
    let list = lines.dropFirst().map { $0.drop { " -".contains($0) } }.joined(separator: ", ")
    let text = (lines.first ?? "") + (list.isEmpty ? "" : " \(list)")
    return String(text.hasSuffix(".") ? text.dropLast() : text[...])
  }

  /// The command that explains what was used wrongly; the parser names it in quotes.
  private static func help(for error: any Error) -> String {
    let parts = fullMessage(for: error).split(separator: "'")
    return parts.first { $0.hasSuffix("--help") }.map(String.init) ?? "varve --help"
  }

  /// Prints one line to the standard error output.
  static func complain(_ message: String) {
    let line = Array("varve: \(message.printable)\n".utf8)
    _ = write(STDERR_FILENO, line, line.count)
  }
}
