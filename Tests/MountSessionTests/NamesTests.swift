import Glibc
import Testing

@testable import MountSession

@Suite(.enabled(if: Fuse.isThere, Fuse.absence)) struct NamesTests {
  @Test func namesAreBytes() throws {
    try TestMount.with { mount in
      // Not UTF-8; and two encodings of é that are equal as Strings.
      let names: [[UInt8]] = [
        [0xFF, 0xFE], [0x65, 0xCC, 0x81], [0xC3, 0xA9], Array(repeating: 0x61, count: 255),
      ]
      for name in names {
        let path = Array(mount.path.utf8) + [0x2F] + name + [0]
        let descriptor = path.withUnsafeBytes {
          open($0.bindMemory(to: CChar.self).baseAddress!, O_CREAT | O_EXCL, 0o600)
        }
        #expect(descriptor >= 0)
        close(descriptor)
      }
      try #expect(Set(list(mount.path)) == Set(names + [[0x2E], [0x2E, 0x2E]]))
      #expect(code(mkdir(mount.path + "/" + String(repeating: "x", count: 256), 0o700)) == ENAMETOOLONG)
    }
  }

  @Test func negativeEntriesAreCached() throws {
    try TestMount.with { mount in
      for _ in 0..<5 { #expect(code(access(mount.path + "/none", F_OK)) == ENOENT) }
      #expect(mount.traffic.value.count(.lookup) == 1)
      let descriptor = open(mount.path + "/none", O_CREAT | O_WRONLY, 0o600)
      #expect(descriptor >= 0)
      close(descriptor)
      #expect(code(access(mount.path + "/none", F_OK)) == 0)
    }
  }

  @Test func directoriesLinksAndRenames() throws {
    try TestMount.with { mount in
      let root = mount.path
      #expect(mkdir(root + "/a", 0o750) == 0)
      #expect(mkdir(root + "/b", 0o700) == 0)
      try #expect(status(root).st_nlink == 4)
      close(open(root + "/a/f", O_CREAT | O_WRONLY, 0o640))
      #expect(link(root + "/a/f", root + "/b/g") == 0)
      try #expect(status(root + "/a/f").st_nlink == 2)
      try #expect(status(root + "/a/f").st_ino == status(root + "/b/g").st_ino)
      #expect(code(rmdir(root + "/a")) == ENOTEMPTY)
      #expect(symlink("../b/g", root + "/a/s") == 0)
      var target = [CChar](repeating: 0, count: 64)
      #expect(readlink(root + "/a/s", &target, 64) == 6)
      #expect(rename(root + "/b/g", root + "/a/h") == 0)
      #expect(code(access(root + "/b/g", F_OK)) == ENOENT)
      #expect(unlink(root + "/a/f") == 0)
      try #expect(status(root + "/a/h").st_nlink == 1)
      #expect(mkfifo(root + "/a/p", 0o600) == 0)
      try #expect(status(root + "/a/p").st_mode & S_IFMT == S_IFIFO)
      #expect(mknod(root + "/a/d", S_IFCHR | 0o600, 0x0105) == 0)
      try #expect(status(root + "/a/d").st_rdev == 0x0105)
    }
  }

  @Test(arguments: [true, false]) func aLongDirectoryIsListedOnceWhateverIsRemoved(opensInKernel: Bool) throws
  {
    try TestMount.with(opensInKernel: opensInKernel) { mount in
      let count = 3000
      for number in 0..<count { close(open("\(mount.path)/file-\(number)", O_CREAT | O_WRONLY, 0o600)) }
      try #expect(list(mount.path).count == count + 2)
      let directory = try #require(opendir(mount.path))
      defer { closedir(directory) }
      var seen: Set<String> = []
      var repeated = 0
      var middle = 0
      var afterMiddle: String?
      for step in 0..<(count + 2) {
        if step == 1500 { middle = telldir(directory) }
        guard let name = next(directory) else { break }
        if step == 1500 { afterMiddle = name }
        if !seen.insert(name).inserted { repeated += 1 }
        if step == 700 { for number in 0..<300 { unlink("\(mount.path)/file-\(number)") } }
      }
      #expect(repeated == 0)
      #expect(Set((300..<count).map { "file-\($0)" }).isSubset(of: seen))
      seekdir(directory, middle)
      #expect(next(directory) == afterMiddle)
      try #expect(list(mount.path).count == count - 300 + 2)
    }
  }

  /// The next name of an open directory.
  private func next(_ directory: OpaquePointer) -> String? {
    guard let entry = readdir(directory) else { return nil }
    return withUnsafeBytes(of: &entry.pointee.d_name) {
      String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
    }
  }

  /// The names in a directory.
  private func list(_ path: String) throws -> [[UInt8]] {
    let directory = try #require(opendir(path))
    defer { closedir(directory) }
    var names: [[UInt8]] = []
    while let entry = readdir(directory) {
      withUnsafeBytes(of: &entry.pointee.d_name) { names.append(Array($0.prefix { $0 != 0 })) }
    }
    return names
  }
}
