import Glibc

/// Bounds how many inodes the kernel knows: each costs memory in the daemon, about 100 bytes, and ten times
/// that in the kernel, which by itself drops some only when memory is short.
///
/// Beyond the limit the kernel is asked to drop an eighth of them, those first that it has known longest, some
/// at a time (FUSE_NOTIFY_PRUNE, Linux 6.18). It keeps those in use, and their folders.
struct KnownInodes {
  /// How many the kernel is asked to drop at a time.
  static let batch = 64
  /// The default: one for so many bytes of the machine's memory, between the bounds.
  private static let memory = 16 << 10
  private static let bounds = 1 << 16...1 << 22
  /// The smallest limit that can be asked for.
  static let minimum = 1024

  let limit: Int
  /// How many the kernel knew when it was last asked.
  private var before = Int.max
  /// How many more it is to be asked for now.
  private var rest = 0
  /// Whether a batch is with the kernel.
  private var isBusy = false

  /// - Parameter limit: nil for the default.
  init(limit: Int?) {
    let pages = max(sysconf(Int32(_SC_PHYS_PAGES)), 0)
    let perPage = Self.memory / max(sysconf(Int32(_SC_PAGESIZE)), 1)
    let usual = min(max(pages / max(perPage, 1), Self.bounds.lowerBound), Self.bounds.upperBound)
    self.limit = limit ?? usual
  }

  /// Whether the kernel is to be asked for a batch. Where it keeps them all, it is asked again only when it
  /// knows more; what it has dropped it says some time after it was asked.
  /// - Parameter known: how many inodes it knows.
  mutating func begins(_ known: Int) -> Bool {
    guard !isBusy, known > limit, known < before || known - before > limit / 64 else { return false }
    before = known
    rest = limit / 8
    isBusy = true
    return true
  }

  /// The kernel was asked for `count` inodes.
  /// - Returns: whether another batch follows at once.
  mutating func asked(for count: Int) -> Bool {
    rest -= count
    isBusy = rest > 0
    return isBusy
  }

  /// No inodes to ask for were found: the search goes on at the next request.
  mutating func foundNone() {
    isBusy = false
    before = Int.max
  }
}

extension MountSession {
  /// Asks the kernel to drop inodes if it knows too many.
  @inline(__always)
  func boundKnownInodes() {
    if service.knownNodes > knownInodes.limit { dropInodes() }
  }

  private func dropInodes() {
    guard handshake.prunes, helper != nil, refusal == 0 else { return }
    if knownInodes.begins(service.knownNodes) { dropBatch() }
  }

  private func dropBatch() {
    withUnsafeTemporaryAllocation(of: UInt64.self, capacity: KnownInodes.batch) { nodes in
      let count = service.takeOldNodes(nodes)
      guard count > 0 else { return knownInodes.foundNone() }
      drop(nodes[..<count]) { [unowned self] isDone in
        // Without the process that asks the kernel, it is not asked again.
        guard isDone else { return }
        if knownInodes.asked(for: count) { dropBatch() } else { boundKnownInodes() }
      }
    }
  }
}
