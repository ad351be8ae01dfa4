import Glibc

/// Starts this process's program in another role.
enum SelfProgram {
  /// - Parameters:
  ///   - arguments: those after the program's name.
  ///   - actions: the actions on its descriptors.
  /// - Returns: 0 or an errno.
  static func spawn(
    _ arguments: [String], _ actions: inout posix_spawn_file_actions_t,
    _ child: UnsafeMutablePointer<pid_t>? = nil
  ) -> Int32 {
    let name = CommandLine.arguments.first ?? "mount.varve"
    let words: [UnsafeMutablePointer<CChar>?] = ([name] + arguments).map { strdup($0) } + [nil]
    defer { for word in words { free(word) } }
    return posix_spawn(child, "/proc/self/exe", &actions, nil, words, environ)
  }
}
