import Glibc

/// Finds out who holds a lock on a file, for the message that says so.
enum LockHolder {
  /// The process that holds a flock lock on the file with this inode number, as /proc/locks has it.
  ///
  /// Lines read `1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF`. The device number is left aside: it is not the
  /// one stat gives on every filesystem, and a wrong name in a message does little harm.
  static func find(inode: UInt) -> Int? {
    for line in read("/proc/locks").split(separator: "\n") {
      let words = line.split(separator: " ", omittingEmptySubsequences: true)
      guard words.count >= 6, words[1] == "FLOCK", let process = Int(words[4]), process > 0 else { continue }
      if words[5].split(separator: ":").last == Substring(String(inode)) { return process }
    }
    return nil
  }

  private static func read(_ path: String) -> String {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return "" }
    defer { close(descriptor) }
    var text: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 4096)
    while true {
      let count = Glibc.read(descriptor, &buffer, buffer.count)
      guard count > 0 else { return String(decoding: text, as: UTF8.self) }
      text += buffer[..<count]
    }
  }
}
