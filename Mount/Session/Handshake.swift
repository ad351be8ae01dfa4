import CFuse3
import Glibc

/// FUSE_INIT: which of the kernel's features are used.
///
/// libfuse writes the reply; flags unknown to libfuse are added before it is sent to the kernel.
struct Handshake {
  /// The kernel's flags in its INIT (FUSE_* of linux/fuse.h), both words.
  private var offered: UInt64 = 0
  /// Whether the reply to INIT is being made.
  private var answering = false
  /// Whether the kernel has just received the reply.
  var justDone = false
  /// Whether open may be answered with ENOSYS, after which the kernel sends no more of them.
  private(set) var opensInKernel = false
  /// The same for opendir.
  private(set) var directoryOpensInKernel = false
  /// Whether the kernel's page cache is write-back.
  private(set) var writesBack = false
  /// Whether files opened with O_DIRECT are opened for parallel direct writes.
  private(set) var writesInParallel = false

  /// Whether the kernel can be asked to drop inodes (FUSE_NOTIFY_PRUNE).
  private(set) var prunes = false
  /// The kernel's minor protocol version from which on it can.
  private static let pruningVersion: UInt32 = 45

  /// Chooses among the features that libfuse supports.
  /// - Parameter message: the kernel's INIT, from its header on.
  mutating func choose(
    _ connection: UnsafeMutablePointer<fuse_conn_info>, _ message: UnsafeRawPointer, _ options: SessionOptions
  ) {
    let initial = (message + MemoryLayout<fuse_in_header>.size).assumingMemoryBound(to: fuse_init_in.self)
    prunes = initial.pointee.minor >= Self.pruningVersion
    offered = UInt64(initial.pointee.flags)
    if offered & UInt64(FUSE_INIT_EXT) != 0 { offered |= UInt64(initial.pointee.flags2) << 32 }

    var wanted: [Int32] = [
      FUSE_CAP_ASYNC_READ, FUSE_CAP_PARALLEL_DIROPS, FUSE_CAP_ASYNC_DIO, FUSE_CAP_IOCTL_DIR,
      FUSE_CAP_READDIRPLUS, FUSE_CAP_READDIRPLUS_AUTO, FUSE_CAP_CACHE_SYMLINKS,
    ]
    if options.writesBack { wanted.append(FUSE_CAP_WRITEBACK_CACHE) }
    let capable = connection.pointee.capable
    connection.pointee.want = wanted.reduce(0) { $0 | UInt32($1) } & capable
    connection.pointee.max_write = options.maximumWrite
    connection.pointee.max_read = options.maximumRead
    connection.pointee.max_readahead = options.readahead
    connection.pointee.max_background = options.maximumBackground
    connection.pointee.time_gran = 1
    writesBack = connection.pointee.want & UInt32(FUSE_CAP_WRITEBACK_CACHE) != 0
    // Without FUSE_DIRECT_IO_ALLOW_MMAP (Linux 6.7) such a file could not be mapped any more.
    writesInParallel = options.writesInParallel && offered & UInt64(FUSE_DIRECT_IO_ALLOW_MMAP) != 0
    opensInKernel =
      options.opensInKernel && !writesInParallel && capable & UInt32(FUSE_CAP_NO_OPEN_SUPPORT) != 0
    directoryOpensInKernel = options.opensInKernel && capable & UInt32(FUSE_CAP_NO_OPENDIR_SUPPORT) != 0
    answering = true
  }

  /// From how many background requests on, waiting ones included, the kernel skips files when it writes back
  /// for syncfs(2), which then returns although their data is not sent: so the most that can be said.
  static let congestionThreshold = UInt16.max

  /// Completes the reply, when this is it: by the flags unknown to libfuse, and by the congestion threshold,
  /// which libfuse lowers to the largest number of background requests.
  ///
  /// HANDLE_KILLPRIV_V2 saves a GETXATTR before every write: the kernel then requests clearing suid and sgid
  /// in the write itself. DIRECT_IO_ALLOW_MMAP lets files be mapped that are opened for direct I/O.
  mutating func amend(_ vector: UnsafeMutablePointer<iovec>, _ count: Int) {
    guard answering else { return }
    answering = false
    justDone = true
    guard count > 1, vector[1].iov_len >= MemoryLayout<fuse_init_out>.size, let answer = vector[1].iov_base
    else { return }
    let wanted = UInt64(FUSE_HANDLE_KILLPRIV_V2)
    let initial = answer.assumingMemoryBound(to: fuse_init_out.self)
    initial.pointee.congestion_threshold = Self.congestionThreshold
    initial.pointee.flags |= UInt32(truncatingIfNeeded: offered & wanted)
    guard writesInParallel else { return }
    initial.pointee.flags |= UInt32(FUSE_INIT_EXT)
    initial.pointee.flags2 |= UInt32(truncatingIfNeeded: UInt64(FUSE_DIRECT_IO_ALLOW_MMAP) >> 32)
  }
}

extension MountSession {
  /// Adds the flag of parallel direct writes, which libfuse does not know, to a reply that ends with a
  /// fuse_open_out: that of OPEN and of CREATE.
  private func amendOpen(_ vector: UnsafeMutablePointer<iovec>, _ count: Int) {
    let size = MemoryLayout<fuse_open_out>.size
    guard count > 1, vector[1].iov_len >= size, let answer = vector[1].iov_base else { return }
    let opened = (answer + (vector[1].iov_len - size)).assumingMemoryBound(to: fuse_open_out.self)
    opened.pointee.open_flags |= UInt32(FOPEN_PARALLEL_DIRECT_WRITES)
  }

  /// Writes a reply to the kernel.
  func write(_ descriptor: Int32, _ vector: UnsafeMutablePointer<iovec>?, _ count: Int32) -> Int {
    guard let vector else { return 0 }
    handshake.amend(vector, Int(count))
    if opensForParallelWrites { amendOpen(vector, Int(count)) }
    return writev(descriptor, vector, count)
  }
}
