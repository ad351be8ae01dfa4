import Foundation
import Glibc
import SystemFiles
import TestSupport
import Testing

@Suite struct OpenFilesTests {
  /// A copy of procfs with two processes, one of which has a disk open.
  private func system() throws -> FakeSystem {
    let system = try FakeSystem()
    try system.write("dd", to: "proc/41/comm")
    try system.write("cat", to: "proc/42/comm")
    for (process, file) in [(41, "/dev/nvme0n1"), (42, "/dev/null")] {
      try system.makeFolder("proc/\(process)/fd")
      try FileManager.default.createSymbolicLink(
        atPath: "\(system.root)/proc/\(process)/fd/3", withDestinationPath: file)
    }
    return system
  }

  @Test func namesProcessesThatHaveAFileOpen() throws {
    let system = try system()
    let holders = OpenFiles.holders(of: "/dev/nvme0n1", in: SystemTree(root: system.root))
    #expect(holders.map(\.description) == ["dd (process 41)"])
  }

  @Test func findsNoProcessWithoutProcfs() {
    #expect(OpenFiles.holders(of: "/dev/nvme0n1", in: SystemTree(root: "/nonexistent")).isEmpty)
  }

  @Test func callsItselfThisProcess() throws {
    let file = open("/etc/passwd", O_RDONLY | O_CLOEXEC)
    try #require(file >= 0)
    defer { close(file) }
    #expect(OpenFiles.holders(of: "/etc/passwd").map(\.description).contains("this process"))
  }
}
