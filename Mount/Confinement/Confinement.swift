import CMachine
import Glibc

/// A daemon gives up what it does not need while it serves: root's rights, and every system call that is not
/// on the list.
///
/// An attacker's code in it would have the data of this mount and its device, and nothing else of the
/// machine.
public enum Confinement {
  /// Confines the process, all of its threads, for good. What needs rights afterwards is the helper's.
  /// - Parameters:
  ///   - transport: how the controller is reached.
  ///   - descriptor: where a line goes that tells of a call that was refused, just before the process ends.
  ///   - lead: what that line begins with.
  /// - Throws: `ConfinementError`; the process may be confined in part then, and must not serve.
  public static func begin(
    _ transport: Transport, reportingTo descriptor: Int32, lead: [UInt8] = []
  ) throws(ConfinementError) {
    // Read once, the time zone stays known.
    tzset()
    var now = time(nil)
    _ = localtime(&now)
    if transport == .vfio { unlimitLockedMemory() }
    try Capabilities.keep(0)
    try requireNone()
    guard cm_prctl(PR_SET_NO_NEW_PRIVS, 1) == 0 else {
      throw ConfinementError("no_new_privs: \(String(cString: strerror(errno)))")
    }
    try RefusedCall.prepare(reportingTo: descriptor, lead: lead)
    try CallFilter.load(for: transport)
  }

  /// How often threads are looked at, and how long to wait between (us).
  private static let looks = 100
  private static let pause: UInt32 = 10_000

  /// Makes sure that no thread has capabilities. Each drops its own in its first step, which one just started
  /// may have before it.
  private static func requireNone() throws(ConfinementError) {
    var others = Capabilities.threadsWithAny()
    for _ in 1..<looks where !others.isEmpty {
      usleep(pause)
      others = Capabilities.threadsWithAny()
    }
    guard others.isEmpty else {
      throw ConfinementError("threads still have capabilities: \(others.joined(separator: ", "))")
    }
  }

  /// Memory for the device is locked, which CAP_IPC_LOCK allows without a limit.
  private static func unlimitLockedMemory() {
    var unlimited = rlimit(rlim_cur: rlim_t.max, rlim_max: rlim_t.max)
    _ = setrlimit(__rlimit_resource_t(8 /* RLIMIT_MEMLOCK */), &unlimited)
  }
}
