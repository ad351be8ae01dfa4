import Glibc

/// A process, by command and id.
public struct ProcessName: Hashable, Sendable, CustomStringConvertible {
  /// Its id.
  public let id: Int32
  /// The command's name, as `ps` shows it.
  public let command: String

  public var description: String { id == getpid() ? "this process" : "\(command) (process \(id))" }
}

/// The processes that have a file open, as far as the caller may see them.
public enum OpenFiles {
  /// The processes that have the file at `path` open. Only root sees those of other users.
  public static func holders(of path: String, in tree: SystemTree = SystemTree()) -> [ProcessName] {
    tree.names(in: tree.proc).compactMap { Int32($0) }.sorted().compactMap { id in
      let folder = "\(tree.proc)/\(id)/fd"
      guard tree.names(in: folder).contains(where: { tree.target(of: "\(folder)/\($0)") == path })
      else {
        return nil
      }
      return ProcessName(id: id, command: tree.text(of: "\(tree.proc)/\(id)/comm") ?? "a process")
    }
  }
}
