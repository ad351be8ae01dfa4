import CFuse3
import Glibc

/// FUSE_INIT: what the kernel can do and what of it is wanted.
///
/// libfuse writes the answer; flags it has no name for are added on its way to the kernel.
struct Handshake {
  /// The kernel's own flags of its INIT (FUSE_* of linux/fuse.h), both words.
  private var offered: UInt64 = 0
  /// While the answer to INIT is being made.
  private var answering = false
  /// The kernel has just taken the answer.
  var justDone = false
  /// open may be answered with ENOSYS, and the kernel asks no more.
  private(set) var opensInKernel = false
  /// opendir likewise.
  private(set) var directoryOpensInKernel = false

  /// Chooses among what libfuse knows.
  /// - Parameter message: the kernel's INIT, from its header on.
  mutating func choose(
    _ connection: UnsafeMutablePointer<fuse_conn_info>, _ message: UnsafeRawPointer, _ options: SessionOptions
  ) {
    let initial = (message + MemoryLayout<fuse_in_header>.size).assumingMemoryBound(to: fuse_init_in.self)
    offered = UInt64(initial.pointee.flags)
    if offered & UInt64(FUSE_INIT_EXT) != 0 { offered |= UInt64(initial.pointee.flags2) << 32 }

    let wanted: [Int32] = [
      FUSE_CAP_ASYNC_READ, FUSE_CAP_PARALLEL_DIROPS, FUSE_CAP_ASYNC_DIO, FUSE_CAP_IOCTL_DIR,
      FUSE_CAP_READDIRPLUS, FUSE_CAP_READDIRPLUS_AUTO, FUSE_CAP_CACHE_SYMLINKS,
    ]
    let capable = connection.pointee.capable
    connection.pointee.want = wanted.reduce(0) { $0 | UInt32($1) } & capable
    connection.pointee.max_write = options.maximumWrite
    connection.pointee.max_read = options.maximumRead
    connection.pointee.max_readahead = options.readahead
    connection.pointee.max_background = options.maximumBackground
    connection.pointee.congestion_threshold = options.congestionThreshold
    connection.pointee.time_gran = 1
    opensInKernel = options.opensInKernel && capable & UInt32(FUSE_CAP_NO_OPEN_SUPPORT) != 0
    directoryOpensInKernel = options.opensInKernel && capable & UInt32(FUSE_CAP_NO_OPENDIR_SUPPORT) != 0
    answering = true
  }

  /// Adds the flags that libfuse has no name for to the answer, when this is it.
  ///
  /// HANDLE_KILLPRIV_V2 saves a GETXATTR before every write: the kernel then asks for suid and sgid to be
  /// cleared in the write itself.
  mutating func amend(_ vector: UnsafeMutablePointer<iovec>, _ count: Int) {
    guard answering else { return }
    answering = false
    justDone = true
    guard count > 1, vector[1].iov_len >= MemoryLayout<fuse_init_out>.size, let answer = vector[1].iov_base
    else { return }
    let wanted = UInt64(FUSE_HANDLE_KILLPRIV_V2)
    answer.assumingMemoryBound(to: fuse_init_out.self).pointee.flags |= UInt32(
      truncatingIfNeeded: offered & wanted)
  }
}

extension MountSession {
  /// Writes an answer to the kernel.
  func write(_ descriptor: Int32, _ vector: UnsafeMutablePointer<iovec>?, _ count: Int32) -> Int {
    guard let vector else { return 0 }
    handshake.amend(vector, Int(count))
    return writev(descriptor, vector, count)
  }
}
