import Glibc

/// Many files: each thread's in a directory of its own, or all in the one named when there is one thread.
struct Files: Sendable {
  let directory: String
  /// Threads.
  let threads: Int
  /// Files of each thread.
  let count: Int
  /// What their names begin with.
  let prefix: String

  /// Makes the directories that are not there.
  func makeDirectories() throws {
    for thread in 0..<threads {
      let path = directory(of: thread)
      guard mkdir(path, 0o755) == 0 || errno == EEXIST else { throw Failure("make \(path)") }
    }
  }

  /// Creates and closes each.
  func create(_ thread: Int) throws {
    try forEach(thread) { path in
      let descriptor = open(path, O_CREAT | O_EXCL | O_WRONLY, 0o644)
      guard descriptor >= 0 else { return false }
      close(descriptor)
      return true
    }
  }

  /// Opens each, makes it if it is not there, writes `data` and closes it.
  func write(_ thread: Int, _ data: [UInt8]) throws {
    try forEach(thread) { path in
      let descriptor = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0o644)
      guard descriptor >= 0 else { return false }
      defer { close(descriptor) }
      return Glibc.write(descriptor, data, data.count) == data.count
    }
  }

  /// Opens each, reads `size` bytes of it and closes it.
  func read(_ thread: Int, _ size: Int) throws {
    var buffer = [UInt8](repeating: 0, count: size)
    try forEach(thread) { path in
      let descriptor = open(path, O_RDONLY)
      guard descriptor >= 0 else { return false }
      defer { close(descriptor) }
      return Glibc.read(descriptor, &buffer, size) == size
    }
  }

  /// Gives each another name, with `r` before what its name begins with, or takes that away again.
  func rename(_ thread: Int, back: Bool) throws {
    let start = directory(of: thread) + "/r" + prefix
    var other = Array(start.utf8CString.dropLast())
    let length = other.count
    try forEach(thread) { path, index in
      other.removeSubrange(length...)
      other.append(contentsOf: String(index).utf8CString)
      return other.withUnsafeBufferPointer { names in
        guard let other = names.baseAddress else { return false }
        return (back ? Glibc.rename(other, path) : Glibc.rename(path, other)) == 0
      }
    }
  }

  /// Asks for the attributes of each.
  func inspect(_ thread: Int) throws {
    try forEach(thread) { path in
      var attributes = stat()
      return lstat(path, &attributes) == 0
    }
  }

  /// Removes each.
  func unlink(_ thread: Int) throws { try forEach(thread) { path in Glibc.unlink(path) == 0 } }

  private func directory(of thread: Int) -> String { threads == 1 ? directory : "\(directory)/\(thread)" }

  /// Calls `body` with each path of a thread's until it returns false, which means that `errno` says why.
  private func forEach(_ thread: Int, _ body: (UnsafePointer<CChar>) -> Bool) throws {
    try forEach(thread) { path, _ in body(path) }
  }

  private func forEach(_ thread: Int, _ body: (UnsafePointer<CChar>, Int) -> Bool) throws {
    let start = directory(of: thread) + "/" + prefix
    // One buffer for all the names, so that making them costs next to nothing.
    var path = Array(start.utf8CString.dropLast())
    let length = path.count
    for index in 0..<count {
      path.removeSubrange(length...)
      path.append(contentsOf: String(index).utf8CString)
      guard path.withUnsafeBufferPointer({ $0.baseAddress.map { body($0, index) } ?? false }) else {
        throw Failure("use \(start)\(index)")
      }
    }
  }
}
