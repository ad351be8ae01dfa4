import Control
import MountSession

/// `-o remount`: changes the options of an existing mount that can be changed.
///
/// The kernel remounts: it writes its dirty data and refuses writes from then on, or allows them again. A
/// filesystem that was mounted read-only begins to write with the first of them. Cache, commit interval and
/// the like are unchanged.
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
