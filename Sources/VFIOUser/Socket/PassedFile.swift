import CMachine
import Glibc
import Synchronization

/// Files that another process has passed. A file may be on a filesystem that does not respond; every call on
/// it then blocks for ever in uninterruptible sleep, even close.
public enum PassedFile {
  /// Whether the file is the kernel's own memory: a memfd, or a file on tmpfs or hugetlbfs. No access to it
  /// blocks.
  ///
  /// Only these files can have seals, and the kernel checks that without calling a filesystem.
  public static func isMemory(_ descriptor: Int32) -> Bool { cm_has_seals(descriptor) != 0 }

  /// Whether it is an eventfd.
  public static func isEventfd(_ descriptor: Int32) -> Bool {
    var name = [UInt8](repeating: 0, count: 64)
    let count = readlink("/proc/self/fd/\(descriptor)", &name, name.count)
    return count > 0 && String(decoding: name[..<count], as: UTF8.self).hasPrefix("anon_inode:[eventfd")
  }

  /// The most processes that may be blocked in close at once.
  private static let limit = 4
  private static let closing = Mutex<[Int32]>([])

  /// Whether the limit of blocked processes is reached, so that no more files are to be accepted.
  static var isFull: Bool {
    closing.withLock { processes in
      forgetEnded(&processes)
      return processes.count >= limit
    }
  }

  private static func forgetEnded(_ processes: inout [Int32]) {
    processes.removeAll { cm_has_ended($0) != 0 }
  }

  /// Closes files without blocking: those that are neither memory nor eventfds are closed by a child process,
  /// which may outlive this one. They stay open where no process can be made.
  static func close(_ descriptors: [Int32]) {
    var others: [Int32] = []
    for descriptor in descriptors {
      if isMemory(descriptor) || isEventfd(descriptor) {
        Glibc.close(descriptor)
      } else {
        others.append(descriptor)
      }
    }
    guard !others.isEmpty else { return }
    closing.withLock { processes in
      forgetEnded(&processes)
      let process = cm_close_apart(others, others.count)
      if process > 0 { processes.append(process) }
    }
  }
}
