import CMachine
import Glibc
import PCI

/// What keeps a daemon alive that the kernel waits for while memory is short.
///
/// The kernel may free memory by writing to the very filesystem that the daemon serves. So the daemon must
/// not wait for that: its allocations do no I/O, its buffers exist before the first request, it holds no file
/// of its own mount, and it is the last to be killed for memory.
enum MemoryReclaim {
  /// To be called in the process that will serve, before it has a second thread, so that all inherit it. What
  /// is not permitted is left out.
  static func prepare() {
    // Linux 5.6, with CAP_SYS_RESOURCE.
    cm_prctl(setIOFlusher, 1)
    // Deadlines to the nanosecond instead of 50 us late.
    cm_prctl(PR_SET_TIMERSLACK, 1)
    write("-900", to: "/proc/self/oom_score_adj")
  }

  /// Has the system give all of an arena's memory now.
  static func populate(_ arena: DMAArena) {
    guard madvise(arena.base, arena.size, populateForWriting) != 0 else { return }
    // Before Linux 5.14: touch each page.
    for frame in 0..<arena.frameCount {
      let first = arena.base + frame * DMAArena.frameSize
      first.storeBytes(of: first.load(as: UInt8.self), as: UInt8.self)
    }
  }

  // Constants newer than the C library's headers are sure to be.
  private static let setIOFlusher: Int32 = 57
  private static let populateForWriting: Int32 = 23

  private static func write(_ text: String, to path: String) {
    let descriptor = open(path, O_WRONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return }
    let bytes = Array(text.utf8)
    _ = Glibc.write(descriptor, bytes, bytes.count)
    close(descriptor)
  }
}
