import CMachine
import Glibc

/// What root's processes may do beyond other users' (capabilities(7)). Each thread has its own.
public enum Capabilities {
  /// CAP_SYS_ADMIN: to unmount and to remount.
  public static let administration: UInt64 = 1 << 21
  /// CAP_DAC_READ_SEARCH: to go through folders that are closed to others.
  public static let search: UInt64 = 1 << 2

  /// Takes all others from the calling thread, for good.
  /// - Throws: `ConfinementError` when the kernel refuses.
  public static func keep(_ wanted: UInt64) throws(ConfinementError) {
    // What the process never had cannot be kept.
    guard cm_keep_capabilities(wanted & cm_capabilities()) == 0 else {
      throw ConfinementError("capabilities cannot be dropped: \(String(cString: strerror(errno)))")
    }
  }

  /// The threads of this process that have any, by number, as /proc/self/task tells.
  static func threadsWithAny() -> [String] {
    guard let folder = opendir("/proc/self/task") else { return ["unknown"] }
    defer { closedir(folder) }
    var found: [String] = []
    while let entry = readdir(folder) {
      let name = withUnsafeBytes(of: entry.pointee.d_name) {
        String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
      }
      if !name.hasPrefix("."), !hasNone("/proc/self/task/\(name)/status") { found.append(name) }
    }
    return found
  }

  private static func hasNone(_ path: String) -> Bool {
    guard let file = fopen(path, "re") else { return false }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 256)
    var lines = 0
    while fgets(&line, Int32(line.count), file) != nil {
      let words = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        .split { $0 == ":" || $0 == "\t" || $0 == "\n" }
      guard words.count == 2, words[0] == "CapPrm" || words[0] == "CapEff" else { continue }
      guard UInt64(words[1], radix: 16) == 0 else { return false }
      lines += 1
    }
    return lines == 2
  }
}
