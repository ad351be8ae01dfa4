import Testing

@testable import MountSession

@Suite struct MountTableTests {
  @Test func aLineIsParsed() throws {
    let line =
      "36 35 0:39 / /mnt/with\\040blank rw,relatime shared:1 - fuse.varve /tmp/a\\134b.img rw,user_id=0"
    let entry = try #require(MountEntry(line: line[...]))
    #expect(entry.device == "0:39")
    #expect(entry.path == "/mnt/with blank")
    #expect(entry.type == "fuse.varve")
    #expect(entry.source == "/tmp/a\\b.img")
  }

  @Test(arguments: ["", "36 35 0:39", "1 2 3 4 5 6 7 8 9", "- - - - - - -"])
  func whatIsNoLineIsLeftOut(line: String) {
    #expect(MountEntry(line: line[...]) == nil)
  }

  @Test(arguments: ["\\", "\\04", "\\999", "a\\", "\\0a0"])
  func brokenEscapesStayAsTheyAre(text: String) {
    #expect(MountEntry.unescaped(text[...]) == text)
  }

  @Test func theTableHoldsWhereItIsReadFrom() {
    #expect(MountTable.entries().contains { $0.path == "/proc" })
  }
}
