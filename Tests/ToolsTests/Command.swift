import Foundation

/// How a command ended.
struct CommandResult {
  /// The exit status; 128 and the signal's number when a signal ended it.
  let status: Int32
  let output: String
  let errors: String

  /// The output as a JSON object.
  func json() throws -> [String: Any] {
    let value = try JSONSerialization.jsonObject(with: Data(output.utf8))
    guard let object = value as? [String: Any] else { throw CocoaError(.propertyListReadCorrupt) }
    return object
  }
}

/// Runs the commands, which are one program that was built with the tests.
enum Command {
  private static let program = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath()
    .deletingLastPathComponent().appending(path: "varve").path(percentEncoded: false)

  /// Runs a command to its end.
  static func run(_ name: String, _ arguments: String...) throws -> CommandResult {
    try run(name, arguments)
  }

  /// Runs a command to its end.
  static func run(_ name: String, _ arguments: [String]) throws -> CommandResult {
    let process = Process()
    // (Foundation has no way to call a program by another name.)
    process.executableURL = URL(filePath: "/bin/bash")
    process.arguments = ["-c", #"exec -a "$0" "$@""#, name, program] + arguments
    let (output, errors) = (Pipe(), Pipe())
    process.standardOutput = output
    process.standardError = errors
    process.standardInput = FileHandle.nullDevice
    try process.run()
    let written = output.fileHandleForReading.readDataToEndOfFile()
    let complained = errors.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    let signal = process.terminationReason == .uncaughtSignal
    return CommandResult(
      status: process.terminationStatus + (signal ? 128 : 0),
      output: String(decoding: written, as: UTF8.self),
      errors: String(decoding: complained, as: UTF8.self))
  }
}

/// An image file that is removed after the test.
final class TestImage {
  let path: String

  /// Makes an image file with a filesystem.
  init(size: String = "40M", label: String = "strata") throws {
    path = Self.newPath()
    let made = try Command.run("mkfs.varve", "-q", "-L", label, path, size)
    guard made.status == 0 else { throw CocoaError(.fileWriteUnknown, userInfo: ["errors": made.errors]) }
  }

  /// Makes an image file that holds these bytes.
  init(bytes: Data) throws {
    path = Self.newPath()
    try bytes.write(to: URL(filePath: path))
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  private static func newPath() -> String {
    FileManager.default.temporaryDirectory.path(percentEncoded: false)
      + "/varve-tools-\(UUID().uuidString).img"
  }

  /// The bytes of the image.
  func contents() throws -> Data { try Data(contentsOf: URL(filePath: path)) }

  /// Inverts the bits of one byte.
  func damage(at offset: UInt64) throws {
    let file = try FileHandle(forUpdating: URL(filePath: path))
    defer { try? file.close() }
    try file.seek(toOffset: offset)
    let byte = try file.read(upToCount: 1)?.first ?? 0
    try file.seek(toOffset: offset)
    try file.write(contentsOf: [~byte])
  }
}
