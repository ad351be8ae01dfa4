import CMachine
import CSeccomp
import Glibc

/// Handles a system call that the filter refuses: logs the call's name and ends the process.
///
/// The signal can come anywhere, even within malloc, so the handler's memory is prepared: each call's name,
/// and the report.
enum RefusedCall {
  /// The process's exit status then, the shell's for SIGSYS.
  static let status: Int32 = 128 + SIGSYS

  private static let calls = 1024
  private static let nameSize = 32

  private struct Report {
    /// The descriptor that the report is written to.
    var descriptor: Int32 = -1
    /// The report's text; the call's name is inserted at `place`, and the rest follows it.
    var text: UnsafeMutablePointer<UInt8>
    var place: Int
    var rest: UnsafeMutablePointer<UInt8>
    var restSize: Int
    /// `calls` names, each padded with zeros to `nameSize` bytes.
    var names: UnsafeMutablePointer<UInt8>
  }

  /// Written once, before the filter is in force.
  nonisolated(unsafe) private static var report: Report?

  /// Prepares the signal handler.
  /// - Parameters:
  ///   - descriptor: receives the line that names the call.
  ///   - lead: the beginning of the line.
  static func prepare(reportingTo descriptor: Int32, lead: [UInt8]) throws(ConfinementError) {
    let before = lead + Array("the daemon made the system call ".utf8)
    let after = Array(
      ", which its filter does not allow, and ends; please report it, and mount with -o confine=no until then\n"
        .utf8)
    let text = UnsafeMutablePointer<UInt8>.allocate(capacity: before.count + nameSize + after.count)
    text.update(from: before, count: before.count)
    let rest = UnsafeMutablePointer<UInt8>.allocate(capacity: after.count)
    rest.update(from: after, count: after.count)
    report = Report(
      descriptor: descriptor, text: text, place: before.count, rest: rest, restSize: after.count,
      names: names())
    var action = sigaction()
    action.__sigaction_handler.sa_sigaction = handler
    action.sa_flags = SA_SIGINFO
    guard sigaction(SIGSYS, &action, nil) == 0 else { throw ConfinementError("no handler for SIGSYS") }
  }

  private static func names() -> UnsafeMutablePointer<UInt8> {
    let names = UnsafeMutablePointer<UInt8>.allocate(capacity: calls * nameSize)
    names.initialize(repeating: 0, count: calls * nameSize)
    for number in 0..<calls {
      let name = seccomp_syscall_resolve_num_arch(seccomp_arch_native(), Int32(number))
      let text = name.map { String(cString: $0) } ?? "number \(number)"
      free(name)
      for (index, byte) in text.utf8.prefix(nameSize).enumerated() { names[number * nameSize + index] = byte }
    }
    return names
  }

  private static let handler:
    @convention(c) (Int32, UnsafeMutablePointer<siginfo_t>?, UnsafeMutableRawPointer?) -> Void = {
      _, information, _ in
      // struct siginfo: si_signo, si_errno, si_code, a gap, the call's address, and its number (sigaction(2),
      // si_syscall).
      let numberOffset = 24
      if let information {
        RefusedCall.tell(UnsafeRawPointer(information).load(fromByteOffset: numberOffset, as: Int32.self))
      }
      _exit(RefusedCall.status)
    }

  private static func tell(_ number: Int32) {
    guard let report else { return }
    var length = report.place
    if number >= 0, number < calls {
      let name = report.names + Int(number) * nameSize
      for index in 0..<nameSize where name[index] != 0 {
        report.text[length] = name[index]
        length += 1
      }
    }
    memcpy(report.text + length, report.rest, report.restSize)
    _ = write(report.descriptor, report.text, length + report.restSize)
  }
}
