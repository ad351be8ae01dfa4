import CMachine
import Glibc
import Testing

@testable import MountSession

@Suite(.enabled(if: Fuse.isThere, Fuse.absence)) struct AttributesTests {
  @Test func modesOwnersAndTimes() throws {
    try TestMount.with { mount in
      let path = mount.path + "/f"
      close(open(path, O_CREAT | O_WRONLY, 0o666))
      #expect(chmod(path, 0o4711) == 0)
      try #expect(status(path).st_mode == S_IFREG | 0o4711)
      #expect(chown(path, 12, 34) == 0)
      let owned = try status(path)
      #expect(owned.st_uid == 12)
      #expect(owned.st_gid == 34)
      #expect(owned.st_mode == S_IFREG | 0o711)
      var times = [timespec(tv_sec: -5, tv_nsec: 500_000_000), timespec(tv_sec: 4_000_000_000, tv_nsec: 1)]
      #expect(utimensat(AT_FDCWD, path, &times, 0) == 0)
      let timed = try status(path)
      #expect(timed.st_atim.tv_sec == -5 && timed.st_atim.tv_nsec == 500_000_000)
      #expect(timed.st_mtim.tv_sec == 4_000_000_000 && timed.st_mtim.tv_nsec == 1)
    }
  }

  @Test func aWriteByAnotherUserClearsSetuid() throws {
    try TestMount.with { mount in
      let path = mount.path + "/f"
      close(open(path, O_CREAT | O_WRONLY, 0o666))
      #expect(chmod(path, 0o6777) == 0)
      try #expect(run("sh", "-c", "echo root >> \(path)") == 0)
      try #expect(status(path).st_mode & 0o7777 == 0o6777)
      #expect(
        try run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c", "echo >> \(path)")
          == 0)
      // A stat of the mode alone does not make the kernel send another GETATTR.
      try #expect(run("sh", "-c", "[ $(stat -c %a \(path)) = 777 ]") == 0)
      #expect(mount.traffic.value.writesThatKillPrivileges == 1)
    }
  }

  @Test func accessWithoutPermissionIsRefused() throws {
    try TestMount.with { mount in
      let path = mount.path + "/f"
      close(open(path, O_CREAT | O_WRONLY, 0o600))
      let asOther = try run(
        "setpriv", "--reuid=65534", "--clear-groups", "sh", "-c", "cat \(path) 2>/dev/null")
      #expect(asOther == 1)
    }
  }

  @Test func extendedAttributes() throws {
    try TestMount.with { mount in
      let path = mount.path + "/f"
      close(open(path, O_CREAT | O_WRONLY, 0o600))
      let value: [UInt8] = [0, 1, 255, 0]
      #expect(setxattr(path, "user.a", value, value.count, 0) == 0)
      var read = [UInt8](repeating: 9, count: 16)
      #expect(getxattr(path, "user.a", nil, 0) == 4)
      #expect(getxattr(path, "user.a", &read, 16) == 4)
      #expect(Array(read[..<4]) == value)
      #expect(code(Int32(getxattr(path, "user.a", &read, 2))) == ERANGE)
      #expect(code(Int32(getxattr(path, "user.b", &read, 16))) == ENODATA)
      #expect(code(setxattr(path, "user.a", value, 4, 1)) == EEXIST)
      #expect(code(setxattr(path, "user.b", value, 4, 2)) == ENODATA)
      var names = [CChar](repeating: 0, count: 64)
      #expect(listxattr(path, &names, 64) == 7)
      #expect(removexattr(path, "user.a") == 0)
      #expect(listxattr(path, nil, 0) == 0)
    }
  }

  @Test func attributesAreCached() throws {
    try TestMount.with { mount in
      close(open(mount.path + "/f", O_CREAT | O_WRONLY, 0o600))
      _ = try status(mount.path + "/f")
      mount.traffic.reset()
      for _ in 0..<10 { _ = try status(mount.path + "/f") }
      #expect(mount.traffic.value.operations.isEmpty)
    }
  }

  @Test func space() throws {
    try TestMount.with { mount in
      var space = statvfs()
      #expect(statvfs(mount.path, &space) == 0)
      #expect(space.f_frsize == 4096 && space.f_namemax == 255 && space.f_bavail > 0)
    }
  }

  @Test(arguments: [0, 1, -1, 999_999_999, -999_999_999, 1_000_000_000, -1_000_000_001, .max, .min])
  func timesKeepTheirNanoseconds(nanoseconds: Int64) {
    let time = KernelTime.split(nanoseconds)
    #expect((0..<1_000_000_000).contains(time.tv_nsec))
    // The second of Int64.min nanoseconds overflows when multiplied; the nearest time is returned.
    #expect(KernelTime.join(time) == nanoseconds || nanoseconds == .min)
  }

  @Test func timesOutOfRangeAreClamped() {
    #expect(KernelTime.join(timespec(tv_sec: .max, tv_nsec: 0)) == .max)
    #expect(KernelTime.join(timespec(tv_sec: .min, tv_nsec: 0)) == .min)
  }
}
