import CMachine
import Confinement
import Glibc
import Synchronization

/// The process that has the kernel write back all dirty pages of a mount of type fuseblk: it reads orders from
/// descriptor 0 and writes answers to 1, and ends when the daemon closes the pipe.
///
/// It flushes the buffers of the mount's block device (BLKFLSBUF), for which the kernel syncs the filesystem
/// on that device. Unlike syncfs(2) that needs no open file of the mount, which would keep it from being
/// unmounted.
enum WriteBackProcess {
  /// The argument that starts the program as this process; the mount's device follows it, `major:minor`.
  static let flag = "--write-back"

  /// A message to the daemon.
  struct Answer: BitwiseCopyable {
    enum Kind: UInt32, BitwiseCopyable {
      /// The process is ready; the number is its id.
      case ready = 1
      /// The order of that number has ended.
      case done
      /// The order of that number waits for the mount's lock (`s_umount`), which a remount holds, or waits
      /// for, that may itself be waiting for the daemon's answer to a SYNCFS. Sent again while that lasts.
      case waits
    }
    var kind: Kind
    var number: UInt32
  }

  /// BLKFLSBUF: _IO(0x12, 97).
  private static let flushBuffers: UInt = 0x1261
  /// The major number of loop devices, as `SourceDevice` makes one.
  private static let loopDevices = "7:"
  /// The number of the order being carried out; 0 for none.
  private static let current = Atomic<UInt32>(0)

  /// Carries out orders; never returns.
  static func run(for device: String) -> Never {
    cm_close_from(2)
    Secrecy.begin()
    guard (try? Capabilities.keep(Capabilities.administration)) != nil else { exit(1) }
    var begun: [Int32] = [-1, -1]
    guard cm_pipe(&begun) == 0 else { exit(1) }
    let (noticed, noticing) = (begun[0], begun[1])
    guard DetachedThread.start({ watch(noticed) }) else { exit(1) }
    report(.ready, UInt32(bitPattern: getpid()))
    var number: UInt32 = 0
    while readAll(0, &number) {
      current.store(number, ordering: .sequentiallyConsistent)
      guard write(noticing, &number, MemoryLayout<UInt32>.size) > 0 else { break }
      // A filesystem that is mounted nowhere any more is being unmounted, and the unmount holds its lock.
      if MountTable.entries().contains(where: { $0.device == device }) { flush(device) }
      current.store(0, ordering: .sequentiallyConsistent)
      report(.done, number)
    }
    exit(0)
  }

  /// A failure is ignored: the daemon writes what it has in any case.
  private static func flush(_ device: String) {
    guard device.hasPrefix(loopDevices), let minor = UInt32(device.dropFirst(loopDevices.count))
    else { return }
    let block = open("/dev/loop\(minor)", O_RDONLY | O_CLOEXEC)
    guard block >= 0 else { return }
    _ = cm_ioctl(block, flushBuffers, nil)
    close(block)
  }

  // MARK: Noticing that it waits for the lock

  /// The kernel functions that wait for the lock, and those that wait for written pages or for the daemon, as
  /// /proc/PID/wchan shows them.
  private static let locking = ["super_lock", "rwsem", "down_read"]
  private static let writing = ["wb_wait", "writeback", "__writeback", "request_wait", "fuse_", "__fuse_"]
  private static let interval: UInt32 = 10_000  // in microseconds
  /// After how many looks in a row the process counts as waiting: where a function of `locking` waits, and
  /// where a function waits that is in neither list.
  private static let (looks, unknownLooks) = (3, 100)

  /// Looks at each order while it is carried out. An answer about an order that has ended meanwhile is ignored.
  private static func watch(_ noticed: Int32) {
    var number: UInt32 = 0
    while readAll(noticed, &number) {
      var (locked, unknown) = (0, 0)
      while current.load(ordering: .sequentiallyConsistent) == number {
        usleep(interval)
        let function = MountTable.contents(of: "/proc/self/task/\(getpid())/wchan")
        locked = locking.contains { function.contains($0) } ? locked + 1 : 0
        unknown = writing.contains { function.hasPrefix($0) } ? 0 : unknown + 1
        guard locked >= looks || unknown >= unknownLooks else { continue }
        report(.waits, number)
        (locked, unknown) = (0, 0)
      }
    }
  }

  // MARK: Messages

  private static func readAll(_ descriptor: Int32, _ number: inout UInt32) -> Bool {
    while true {
      let count = read(descriptor, &number, MemoryLayout<UInt32>.size)
      if count < 0, errno == EINTR { continue }
      return count == MemoryLayout<UInt32>.size
    }
  }

  private static func report(_ kind: Answer.Kind, _ number: UInt32) {
    var answer = Answer(kind: kind, number: number)
    _ = write(1, &answer, MemoryLayout<Answer>.size)
  }
}
