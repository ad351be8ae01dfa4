import Glibc

/// Processes that keep a filesystem mounted though it is not mounted here any more: those of other mount
/// namespaces, such as a container's.
public enum MountHolders {
  /// The most that are listed.
  private static let limit = 8

  /// - Parameter device: `major:minor` of the mounted filesystem.
  /// - Returns: each process by id and command: `process 4711 (sleep)`.
  public static func describe(_ device: String) -> [String] {
    let own = namespace("self")
    var seen: Set<String> = []
    var found: [String] = []
    for process in processes() where found.count < limit {
      guard let other = namespace(process), other != own, seen.insert(other).inserted,
        MountTable.entries(of: process).contains(where: { $0.device == device })
      else { continue }
      let name = MountTable.contents(of: "/proc/\(process)/comm").split(separator: "\n").first ?? "?"
      found.append("process \(process) (\(name))")
    }
    return found
  }

  private static func namespace(_ process: String) -> String? {
    var target = [CChar](repeating: 0, count: 64)
    let count = readlink("/proc/\(process)/ns/mnt", &target, target.count)
    return count > 0 ? String(decoding: target[..<count].map(UInt8.init(bitPattern:)), as: UTF8.self) : nil
  }

  private static func processes() -> [String] {
    guard let folder = opendir("/proc") else { return [] }
    defer { closedir(folder) }
    var names: [String] = []
    while let entry = readdir(folder) {
      let name = withUnsafeBytes(of: entry.pointee.d_name) {
        String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
      }
      if Int32(name) != nil { names.append(name) }
    }
    return names
  }
}
