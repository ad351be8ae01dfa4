import CMachine
import Glibc

/// Tests with a child process whether a daemon could be confined on this machine.
public enum ConfinementTrial {
  /// Confines a child of this process, which must be single-threaded, and has it make a call that is not on
  /// the list.
  /// - Returns: nil when that ended the child as it should; otherwise the error.
  public static func run() -> String? {
    var ends: [Int32] = [-1, -1]
    guard cm_pipe(&ends) == 0 else { return "no pipe: \(String(cString: strerror(errno)))" }
    let child = cm_fork()
    if child == 0 { beConfined(reportingTo: ends[1]) }
    let code = errno
    close(ends[1])
    defer { close(ends[0]) }
    guard child > 0 else { return "no new process: \(String(cString: strerror(code)))" }
    let said = readAll(ends[0])
    var status: Int32 = 0
    while waitpid(child, &status, 0) < 0 { guard errno == EINTR else { return "the process was not found" } }
    let exitStatus = (status >> 8) & 0xFF
    if status & 0x7F == 0, exitStatus == RefusedCall.status, said.contains(" getppid,") { return nil }
    return said.isEmpty ? "the system call getppid was not refused" : said
  }

  private static func beConfined(reportingTo descriptor: Int32) -> Never {
    do throws(ConfinementError) {
      try Confinement.begin(.emulated, reportingTo: descriptor)
      _ = getppid()
    } catch {
      let text = Array(error.description.utf8)
      _ = write(descriptor, text, text.count)
    }
    _exit(1)
  }

  private static func readAll(_ descriptor: Int32) -> String {
    var bytes = [UInt8](repeating: 0, count: 1024)
    var count = 0
    while count < bytes.count {
      let more = bytes.withUnsafeMutableBytes { [count] in
        read(descriptor, $0.baseAddress.map { $0 + count }, $0.count - count)
      }
      if more < 0, errno == EINTR { continue }
      guard more > 0 else { break }
      count += more
    }
    return String(decoding: bytes[..<count], as: UTF8.self)
  }
}
