import Glibc
import Testing

@testable import MountSession

@Suite("The processor in a process's status") struct RequesterStatusTests {
  private func processor(_ status: String) -> Int? {
    Array(status.utf8).withUnsafeBytes(RequesterStatus.processor)
  }

  /// A status with the name in field 2 and the processor in field 39.
  private func status(name: String, processor: String) -> String {
    (["12", "(\(name))", "S"] + (4...38).map(String.init) + [processor, "0", "0\n"]).joined(separator: " ")
  }

  @Test(arguments: ["fio", "a b", "x) S 1 2", ")))", "", "(", "\n)"]) func isFoundBehindAnyName(name: String)
  {
    #expect(processor(status(name: name, processor: "3")) == 3)
    #expect(processor(status(name: name, processor: "1023")) == 1_023)
  }

  @Test(arguments: ["", "-1", "x", "99999999999999999999"]) func otherTextIsNoProcessor(text: String) {
    #expect(processor(status(name: "fio", processor: text)) == nil)
  }

  @Test func aCutStatusHasNone() {
    let whole = Array(status(name: "fio", processor: "1").utf8)
    let end = whole.count - " 0 0\n".count - 1
    for length in 0..<end {
      #expect(whole[..<length].withUnsafeBytes(RequesterStatus.processor) == nil, "\(length) bytes")
    }
  }

  @Test func theKernelsStatusOfThisThread() throws {
    let file = open("/proc/thread-self/stat", O_RDONLY | O_CLOEXEC)
    try #require(file >= 0)
    defer { close(file) }
    let processor = try #require(RequesterStatus.read(file))
    #expect((0..<1_024).contains(processor))
  }
}
