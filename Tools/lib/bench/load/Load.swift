import ArgumentParser
import Glibc

/// Loads a mounted filesystem and prints how fast it was.
@main
struct Load: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench-load", abstract: "Load a mounted filesystem with operations on names and syncs.",
    subcommands: [
      Create.self, Stat.self, WriteFiles.self, ReadFiles.self, Rename.self, Unlink.self, List.self,
      SyncWrites.self,
    ])
}

/// What the commands on many files have in common.
struct FileArguments: ParsableArguments {
  @Argument(help: "The directory; with several threads, each uses one in it.") var directory: String
  @Option(help: "How many threads.") var threads = 1
  @Option(help: "How many files each.") var count = 1000
  @Option(help: "What the names of the files begin with.") var prefix = "f"

  func validate() throws {
    guard threads > 0, count > 0 else { throw ValidationError("threads and count must be more than 0") }
  }

  /// Has each thread do `body`, and prints operations a second.
  func measure(_ body: @escaping @Sendable (Files, Int) throws -> Void) throws {
    let files = Files(directory: directory, threads: threads, count: count, prefix: prefix)
    try files.makeDirectories()
    let taken = try Crowd.run(threads) { thread in try body(files, thread) }
    print(Double(threads * count) * 1e9 / Double(taken))
  }
}

struct Create: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Create and close files; prints files a second.")
  @OptionGroup var arguments: FileArguments

  func run() throws { try arguments.measure { try $0.create($1) } }
}

struct Stat: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Ask for files' attributes; prints files a second.")
  @OptionGroup var arguments: FileArguments

  func run() throws { try arguments.measure { try $0.inspect($1) } }
}

/// The size of the files that are written and read, in bytes.
private let fileSize = 3_000

struct WriteFiles: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "write", abstract: "Open, write 3,000 bytes to and close files; prints files a second.")
  @OptionGroup var arguments: FileArguments

  func run() throws {
    let data = [UInt8](repeating: 0xAA, count: fileSize)
    try arguments.measure { try $0.write($1, data) }
  }
}

struct ReadFiles: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "read", abstract: "Open, read 3,000 bytes of and close files; prints files a second.")
  @OptionGroup var arguments: FileArguments

  func run() throws { try arguments.measure { try $0.read($1, fileSize) } }
}

struct Rename: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Give files other names within their directory; prints files a second.")
  @OptionGroup var arguments: FileArguments
  @Flag(help: "Give them their old names again.") var back = false

  func run() throws {
    let back = back
    try arguments.measure { try $0.rename($1, back: back) }
  }
}

struct Unlink: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Remove files; prints files a second.")
  @OptionGroup var arguments: FileArguments

  func run() throws { try arguments.measure { try $0.unlink($1) } }
}

struct List: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Read a directory; prints names a second.")
  @Argument(help: "The directory.") var directory: String

  func run() throws {
    var count = 0
    let taken = try duration { count = try countNames(in: directory) }
    print(Double(count) * 1e9 / Double(taken))
  }
}

struct SyncWrites: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sync",
    abstract: "Write 4 KiB and fsync, again and again; prints the median in microseconds.")
  @Argument(help: "The file, made when it is not there.") var file: String
  @Option(help: "How many times.") var count = 1000

  func validate() throws { guard count > 0 else { throw ValidationError("count must be more than 0") } }

  func run() throws {
    let times = try Sync(path: file, count: count).run().sorted()
    print(Double(times[times.count / 2]) / 1000)
  }
}
