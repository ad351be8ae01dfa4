import Control
import MountSession

/// `-o remount`: what of a mount that is there can be changed.
///
/// The kernel does it: it has what it still held written, and refuses writes from then on, or lets them
/// through again. With the first of them a filesystem that was mounted read-only begins to write. Cache,
/// commit interval and the like stay as they were.
struct Remounting {
  let directory: String
  let order: MountOrder

  func run() throws {
    let point = try MountPoint.existing(directory)
    if !order.options.readOnly { try requireWritable(point) }
    try point.remount(order.options)
  }

  /// A filesystem can be read-only although the kernel allows writes.
  private func requireWritable(_ point: MountPoint) throws(MountError) {
    guard let (client, served) = Daemons.mounts().first(where: { $0.serves.mountPoint == point.path }),
      let state = try? client.ask("stat", [("nsid", .integer(served.namespace))]),
      case .bool(true) = state["filesystem"]?["is_read_only"],
      case .bool(false) = state["filesystem"]?["can_become_writable"]
    else { return }
    throw MountError(
      "\(point.path) cannot be written: its device is write protected, or it became read-only because of an error",
      remedy: "see varve stat; unmount it, and mount it again")
  }
}
