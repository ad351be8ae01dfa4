import CSeccomp
import Foundation
import Testing

@testable import Confinement

@Suite("The list of allowed calls") struct AllowedCallTests {
  private static var groups: [CallGroup] {
    AllowedCalls.common
      + [Transport.emulated, .vfio, .vfioUser].flatMap { AllowedCalls.special(to: $0) }
  }

  @Test("libseccomp supports each call, and none is listed twice") func known() {
    let calls = Self.groups.flatMap { group in group.calls.map(\.name) }
    for name in calls + AllowedCalls.refused.map(\.call.name) {
      #expect(seccomp_syscall_resolve_name(name) >= 0, "\(name)")
    }
    let whole = Self.groups.flatMap { group in group.calls.filter { $0.condition == nil }.map(\.name) }
    #expect(Set(whole).count == whole.count)
  }

  @Test("the article lists each call with its purpose") func documented() throws {
    let article = URL(filePath: #filePath).deletingLastPathComponent()
      .appending(path: "../../Mount/Confinement/Confinement.docc/Confinement.md")
    let rows = try String(contentsOf: article, encoding: .utf8).split(separator: "\n").filter {
      $0.hasPrefix("| ")
    }
    for group in Self.groups {
      let row = rows.first { $0.hasPrefix("| \(group.purpose) |") }
      let words = try #require(row, "\(group.purpose)").split { !$0.isLetter && !$0.isNumber && $0 != "_" }
      for call in group.calls { #expect(words.contains(Substring(call.name)), "\(call.name)") }
    }
  }

  @Test("no call names a file, starts a program or affects another process")
  func harmless() {
    let never = [
      "open", "openat", "openat2", "creat", "unlink", "unlinkat", "rename", "renameat2", "link", "symlink",
      "mknod", "chmod",
      "chown", "mount", "umount2", "execve", "execveat", "fork", "vfork", "clone3", "kill", "ptrace",
      "process_vm_writev",
      "setuid", "setns", "unshare", "bpf", "init_module", "kexec_load", "bind", "listen", "prctl", "seccomp",
      "io_uring_setup",
    ]
    let allowed = Set(Self.groups.flatMap { group in group.calls.map(\.name) })
    for name in never { #expect(!allowed.contains(name), "\(name)") }
    for name in ["clone", "mmap", "mprotect", "newfstatat", "ioctl", "socket"] {
      for call in Self.groups.flatMap(\.calls) where call.name == name {
        #expect(call.condition != nil, "\(name)")
      }
    }
  }
}

@Suite("Who can do what to whom") struct WhoCanDoWhatTests {
  @Test("each line names existing tests") func tests() throws {
    let root = URL(filePath: #filePath).appending(path: "../../..").standardized
    let article = root.appending(path: "Mount/Confinement/Confinement.docc/WhoCanDoWhat.md")
    let rows = try String(contentsOf: article, encoding: .utf8).split(separator: "\n")
      .filter { $0.hasPrefix("| ") && !$0.hasPrefix("| who |") }
    #expect(rows.count > 15)
    for row in rows {
      let cells = row.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
      try #require(cells.count == 4, "\(row)")
      let tests = cells[3].split(separator: ",").map {
        $0.trimmingCharacters(in: CharacterSet(charactersIn: " `"))
      }
      #expect(!tests.isEmpty)
      for test in tests {
        let parts = test.split(separator: ":").map(String.init)
        let text = try? String(contentsOf: root.appending(path: parts[0]), encoding: .utf8)
        #expect(text != nil, "\(test)")
        if parts.count > 1 { #expect(text?.contains("func \(parts[1])(") == true, "\(test)") }
      }
    }
  }
}
