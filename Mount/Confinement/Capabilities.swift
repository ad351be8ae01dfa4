import CMachine
import Glibc
import SystemFiles

/// The privileges of root's processes (capabilities(7)). Each thread has its own set.
public enum Capabilities {
  /// CAP_SYS_ADMIN: to unmount and to remount.
  public static let administration: UInt64 = 1 << 21
  /// CAP_DAC_READ_SEARCH: to search folders that are closed to other users.
  public static let search: UInt64 = 1 << 2

  /// Drops all others from the calling thread, for good.
  /// - Throws: `ConfinementError` when the kernel refuses.
  public static func keep(_ wanted: UInt64) throws(ConfinementError) {
    // Capabilities that the process never had cannot be kept.
    guard cm_keep_capabilities(wanted & cm_capabilities()) == 0 else {
      throw ConfinementError("capabilities cannot be dropped: \(String(cString: strerror(errno)))")
    }
  }

  /// The threads of this process that have any, by id, from /proc/self/task.
  static func threadsWithAny() -> [String] {
    let system = SystemTree()
    let threads = system.names(in: "\(system.proc)/self/task")
    guard !threads.isEmpty else { return ["unknown"] }
    return threads.filter { !hasNone(system.text(of: "\(system.proc)/self/task/\($0)/status") ?? "") }
  }

  private static func hasNone(_ status: String) -> Bool {
    let sets = status.split(separator: "\n").map { $0.split { $0 == ":" || $0 == "\t" } }
      .filter { $0.first == "CapPrm" || $0.first == "CapEff" }
    return sets.count == 2 && sets.allSatisfy { $0.count == 2 && UInt64($0[1], radix: 16) == 0 }
  }
}
