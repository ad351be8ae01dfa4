import CMachine
import Glibc

/// A daemon gives up the rights that it does not need while it serves: root's capabilities, and every system
/// call that is not on the list.
///
/// An attacker's code in it could access the data of this mount and its device, and nothing else of the
/// machine.
public enum Confinement {
  /// Confines the process, with all its threads, for good. The helper does what needs rights afterwards.
  /// - Parameters:
  ///   - transport: how the controller is accessed.
  ///   - descriptor: receives a line that names a refused call, just before the process ends.
  ///   - lead: the beginning of that line.
  /// - Throws: `ConfinementError`; the process may be partly confined then, and must not serve.
  public static func begin(
    _ transport: Transport, reportingTo descriptor: Int32, lead: [UInt8] = []
  ) throws(ConfinementError) {
    // Loads the time zone, which cannot be read later.
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

  /// How often threads are checked, and how long to wait between the checks (us).
  private static let looks = 100
  private static let pause: UInt32 = 10_000

  /// Checks that no thread has capabilities. Each thread drops its own in its first step, which a thread just
  /// started may not have done yet.
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

  /// Removes the limit on locked memory, which memory for the device counts against once CAP_IPC_LOCK is
  /// dropped.
  private static func unlimitLockedMemory() {
    var unlimited = rlimit(rlim_cur: rlim_t.max, rlim_max: rlim_t.max)
    _ = setrlimit(__rlimit_resource_t(8 /* RLIMIT_MEMLOCK */), &unlimited)
  }
}
