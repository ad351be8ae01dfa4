import Glibc

/// A system call that a confined daemon may make, and why.
struct AllowedCall: Sendable {
  /// A condition on an argument.
  struct Condition: Sendable {
    /// The number of the argument, from 0.
    var argument: UInt32
    /// The bits that are compared.
    var mask: UInt64
    /// The required value of these bits.
    var value: UInt64
  }

  var name: String
  var condition: Condition?

  init(_ name: String, _ condition: Condition? = nil) {
    self.name = name
    self.condition = condition
  }
}

/// Calls with a common purpose.
struct CallGroup: Sendable {
  var purpose: String
  var calls: [AllowedCall]

  init(_ purpose: String, _ names: [String], _ conditional: [AllowedCall] = []) {
    self.purpose = purpose
    calls = names.map { AllowedCall($0) } + conditional
  }
}

/// How the daemon accesses its controller.
public enum Transport: Sendable {
  /// The emulated controller, in the process.
  case emulated
  /// A PCI function, through VFIO.
  case vfio
  /// A server's socket.
  case vfioUser
}

/// The documented list of system calls that a confined daemon may make. None of them names a file, starts a
/// program or affects another process.
enum AllowedCalls {
  /// The calls of every daemon; those with a process argument are allowed only for the daemon itself.
  static var common: [CallGroup] {
    [
      CallGroup(
        "Requests, answers, the control socket and the helper",
        [
          "read", "readv", "write", "writev", "accept", "accept4", "recvfrom", "recvmsg", "sendto", "sendmsg",
          "getsockopt",
          "setsockopt", "shutdown", "fcntl", "dup2", "dup3", "pipe2", "close",
        ]),
      CallGroup(
        "Waiting, and the time",
        [
          "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll", "futex",
          "eventfd2",
          "timerfd_create", "timerfd_settime", "nanosleep", "clock_nanosleep", "clock_gettime", "sched_yield",
          "restart_syscall",
        ]),
      CallGroup(
        "The image file, open since before",
        [
          "pread64", "preadv", "preadv2", "pwrite64", "pwritev", "pwritev2", "lseek", "fallocate",
          "ftruncate",
          "fsync",
          "fdatasync", "fstat", "fstatfs", "fgetxattr", "fsetxattr", "flock", "fadvise64",
        ],
        // fstat(3): a descriptor, and an empty name.
        [AllowedCall("newfstatat", .init(argument: 3, mask: emptyPath, value: emptyPath))]),
      CallGroup(
        "Memory, none of it executable",
        ["munmap", "mremap", "madvise", "brk", "memfd_create", "mbind", "get_mempolicy", "set_mempolicy"],
        [
          AllowedCall("mmap", .init(argument: 2, mask: executable, value: 0)),
          AllowedCall("mprotect", .init(argument: 2, mask: executable, value: 0)),
        ]),
      CallGroup(
        "Threads and signals of the process itself",
        [
          "set_robust_list", "rseq", "gettid", "getpid", "getuid", "geteuid", "sched_getaffinity", "sysinfo",
          "getrandom",
          "capset", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "exit", "exit_group",
        ],
        [
          AllowedCall("clone", .init(argument: 0, mask: thread, value: thread)),
          // The processors of the calling thread.
          AllowedCall("sched_setaffinity", .init(argument: 0, mask: UInt64.max, value: 0)),
          // getrlimit(2): no new limit.
          AllowedCall("prlimit64", .init(argument: 2, mask: UInt64.max, value: 0)),
          // abort(3).
          AllowedCall("tgkill", .init(argument: 0, mask: UInt64.max, value: UInt64(getpid()))),
        ]),
    ]
  }

  /// The further calls of a daemon with the given transport.
  static func special(to transport: Transport) -> [CallGroup] {
    switch transport {
    case .emulated: []
    case .vfio:
      [
        CallGroup(
          "VFIO: interrupts, resets, memory for the device", [],
          [AllowedCall("ioctl", .init(argument: 1, mask: 0xFF00, value: vfioType << 8))])
      ]
    case .vfioUser:
      [
        CallGroup(
          "A server that was started anew: connecting to it, and learning of its end",
          ["connect", "pidfd_open", "wait4"],
          [
            AllowedCall("socket", .init(argument: 0, mask: UInt64.max, value: UInt64(AF_UNIX))),
            // A file passed by the server whose close may block is closed by a child process, which is
            // confined like this one.
            AllowedCall("clone", .init(argument: 0, mask: UInt64.max, value: sharedFiles)),
          ])
      ]
    }
  }

  /// Calls that fail with an errno instead of ending the process: the C library makes them by itself and
  /// works without them.
  static let refused: [(call: AllowedCall, errno: Int32)] = [
    // The C library then makes threads by clone, whose flags the filter can check.
    (AllowedCall("clone3"), ENOSYS),
    // The C library reads time zones, processor counts and messages from files.
    (AllowedCall("openat"), EACCES), (AllowedCall("readlink"), EACCES), (AllowedCall("access"), EACCES),
    (AllowedCall("newfstatat", .init(argument: 3, mask: emptyPath, value: 0)), EACCES),
    // The helper removes the control socket.
    (AllowedCall("unlink"), EACCES),
  ]

  private static let emptyPath: UInt64 = 0x1000
  private static let executable = UInt64(PROT_EXEC)
  /// CLONE_THREAD: a thread, no process.
  private static let thread: UInt64 = 0x10000
  /// CLONE_FILES alone.
  private static let sharedFiles: UInt64 = 0x400
  /// The type of VFIO's ioctl numbers (`linux/vfio.h`).
  private static let vfioType: UInt64 = 0x3B
}
