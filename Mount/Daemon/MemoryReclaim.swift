import CMachine
import Glibc
import PCI

/// Keeps the daemon from blocking while the kernel reclaims memory.
///
/// The kernel may free memory by writing to the filesystem that the daemon serves. So the daemon must not
/// wait for such writes: its allocations do no I/O, its buffers exist before the first request, it holds no
/// file of its own mount, and it is the last to be killed when memory runs out.
enum MemoryReclaim {
  /// To be called in the process that will serve, while it is single-threaded, so that all threads inherit
  /// it. Steps that are not permitted are skipped.
  static func prepare() {
    // Linux 5.6, with CAP_SYS_RESOURCE.
    cm_prctl(setIOFlusher, 1)
    // Deadlines to the nanosecond instead of 50 us late.
    cm_prctl(PR_SET_TIMERSLACK, 1)
    write("-900", to: "/proc/self/oom_score_adj")
  }

  /// Allocates all pages of an arena now.
  static func populate(_ arena: DMAArena) {
    guard madvise(arena.base, arena.size, populateForWriting) != 0 else { return }
    // Before Linux 5.14: touch each page.
    for frame in 0..<arena.frameCount {
      let first = arena.base + frame * DMAArena.frameSize
      first.storeBytes(of: first.load(as: UInt8.self), as: UInt8.self)
    }
  }

  // Constants that older headers of the C library lack.
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
