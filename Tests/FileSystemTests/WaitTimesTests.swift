import FileProtocol
import FileSystem
import Simulation
import Testing

/// The table of what requests wait for.
@Suite("Wait times") struct WaitTimesTests {
  @Test("A wait for reads is counted while it lasts, and when it has ended")
  func reads() throws {
    let mounted = try Mounted()
    let file = try mounted.makeFile("f")
    try mounted.write(file, pattern(40_960))
    try mounted.remount()
    let service = try #require(mounted.fileSystem)
    let again = try mounted.path("f")
    let before = service.waits[.read]
    #expect(before.waiting == 0 && before.waitingFor == 0)
    var call = Call(.read, node: again)
    call.length = 4096
    _ = try #require(try mounted.harness.begin(call))
    #expect(service.waits[.read].waiting == 1 && service.waits[.read].count == before.count)
    while mounted.harness.underWay > 0 { try mounted.harness.step() }
    let after = service.waits[.read]
    #expect(after.waiting == 0 && after.count > before.count && after.nanoseconds > before.nanoseconds)
    #expect(after.longest > 0 && after.longest <= after.nanoseconds)
  }

  @Test("An fsync waits for durability, and for nothing else")
  func durability() throws {
    let mounted = try Mounted()
    let service = try #require(mounted.fileSystem)
    let file = try mounted.makeFile("f")
    try mounted.write(file, pattern(4096))
    let before = WaitReason.allCases.map { service.waits[$0].count }
    let slot = try #require(try mounted.harness.begin(Call(.fsync, node: file)))
    #expect(slot >= 0 && service.waits[.durability].waiting == 1)
    while mounted.harness.underWay > 0 { try mounted.harness.step() }
    let after = WaitReason.allCases.map { service.waits[$0].count }
    let waited = WaitReason.allCases.filter { after[Int($0.rawValue)] != before[Int($0.rawValue)] }
    #expect(waited == [.durability] && WaitReason.allCases.allSatisfy { service.waits[$0].waiting == 0 })
  }

  @Test("Each reason has a place in the table")
  func places() throws {
    let service = try #require(try Mounted().fileSystem)
    #expect(WaitReason.allCases.allSatisfy { service.waits[$0].waiting == 0 })
  }
}
