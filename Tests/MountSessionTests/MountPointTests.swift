import Glibc
import PCI
import MemoryService
import Reactor
import Testing

@testable import MountSession

@Suite(.enabled(if: Fuse.isThere, Fuse.absence)) struct MountPointTests {
  @Test func aMountPointInUseIsRefused() throws {
    try TestMount.with { mount in
      let error = #expect(throws: MountError.self) { try MountPoint.prepare(mount.path + "/.") }
      #expect(error?.description.contains("is in use") == true)
      #expect(error?.remedy.contains("umount \(mount.path)") == true)
    }
  }

  @Test(arguments: ["/nonexistent/there", "/etc/passwd", "/etc/passwd/x"]) func whatIsNoDirectoryIsRefused(
    path: String
  ) {
    #expect(throws: MountError.self) { try MountPoint.prepare(path) }
  }

  @Test func aMountOfADeadDaemonIsUnmounted() throws {
    let folder = try TestMount.makeFolder()
    defer { rmdir(folder) }
    let layout = SlotLayout(count: 1)
    let arena = try DMAArena(frames: layout.frameCount)
    let service = MemoryService(slots: 1, arena: arena.base)
    let session = try MountSession(
      service: service, slots: layout, arena: arena.base, options: SessionOptions())
    try session.mount(at: MountPoint.prepare(folder))
    session.close()
    var status = stat()
    #expect(code(stat(folder, &status)) == ENOTCONN)
    let point = try MountPoint.prepare(folder)
    #expect(point.path == folder)
    #expect(MountTable.top(at: folder) == nil)
  }

  @Test func aMountInUseIsDetached() throws {
    let mount = try TestMount()
    let descriptor = open(mount.path + "/f", O_CREAT | O_RDWR, 0o600)
    #expect(descriptor >= 0)
    let unmounter = Unmounter(MountPoint.at(mount.path))
    var count: UInt64 = 0
    while read(unmounter.descriptor, &count, 8) != 8 { usleep(1000) }
    #expect(MountTable.top(at: mount.path) == nil)
    #expect(pwrite(descriptor, "still there", 11, 0) == 11)
    close(descriptor)
    mount.waitForEnd()
  }

  @Test func theKernelReadsFarAhead() throws {
    try TestMount.with { mount in
      let point = MountPoint.at(mount.path)
      point.raiseReadahead(to: 1 << 20)
      let device = try #require(point.device)
      try #expect(run("sh", "-c", "[ $(cat /sys/class/bdi/\(device)/read_ahead_kb) = 1024 ]") == 0)
    }
  }
}

extension MountPoint {
  /// The present mount at a path.
  fileprivate static func at(_ path: String) -> MountPoint { MountPoint(path: path).mounted() }
}
