import CMachine
import Glibc
import Synchronization

/// Files that another process has passed. One may lie on a filesystem that does not answer, and whoever asks
/// for anything of it then waits without end, in a sleep that no signal ends: even closing the file asks.
public enum PassedFile {
  /// Whether the file is the kernel's own memory: a memfd, or a file on tmpfs or hugetlbfs. No access to it
  /// waits for anybody.
  ///
  /// Of all files only these can have seals, and the kernel tells so without asking a filesystem.
  public static func isMemory(_ descriptor: Int32) -> Bool { cm_has_seals(descriptor) != 0 }

  /// Whether it is an eventfd.
  public static func isEventfd(_ descriptor: Int32) -> Bool {
    var name = [UInt8](repeating: 0, count: 64)
    let count = readlink("/proc/self/fd/\(descriptor)", &name, name.count)
    return count > 0 && String(decoding: name[..<count], as: UTF8.self).hasPrefix("anon_inode:[eventfd")
  }

  /// The most processes that wait for filesystems at once.
  private static let limit = 4
  private static let closing = Mutex<[Int32]>([])

  /// Whether so many files could not be closed that no more are to be taken.
  static var isFull: Bool {
    closing.withLock { processes in
      forgetEnded(&processes)
      return processes.count >= limit
    }
  }

  private static func forgetEnded(_ processes: inout [Int32]) {
    processes.removeAll { cm_has_ended($0) != 0 }
  }

  /// Closes files without waiting for anybody: those that are neither memory nor eventfds in a process of its
  /// own, which may outlive this one. They stay open where none can be made.
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
