import Glibc

/// Reads the names in a directory.
/// - Returns: how many there are, without `.` and `..`.
func countNames(in path: String) throws -> Int {
  guard let stream = opendir(path) else { throw Failure("open \(path)") }
  defer { closedir(stream) }
  var count = 0
  errno = 0
  while readdir(stream) != nil { count += 1 }
  guard errno == 0 else { throw Failure("list \(path)") }
  return count - 2
}
