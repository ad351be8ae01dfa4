import Testing

@testable import MountSession

@Suite("How many inodes the kernel may know") struct KnownInodesTests {
  /// A reference, since expectations cannot change a value.
  private final class Inodes {
    private var inodes: KnownInodes
    init(limit: Int) { inodes = KnownInodes(limit: limit) }
    func begins(_ known: Int) -> Bool { inodes.begins(known) }
    func asked(for count: Int) -> Bool { inodes.asked(for: count) }
    func foundNone() { inodes.foundNone() }
  }

  @Test func theKernelIsAskedForAnEighthBeyondTheLimit() {
    let inodes = Inodes(limit: 8000)
    #expect(!inodes.begins(8000))
    #expect(inodes.begins(8001))
    #expect(!inodes.begins(9000), "one batch at a time")
    var asked = 0
    repeat { asked += 100 } while inodes.asked(for: 100)
    #expect(asked == 1000)
    #expect(!inodes.begins(7001))
    #expect(inodes.begins(8000 + 8000 / 64 + 2))
  }

  @Test func aKernelThatKeepsThemAllIsNotAskedAtEachRequest() {
    let inodes = Inodes(limit: 8000)
    #expect(inodes.begins(9000))
    while inodes.asked(for: 100) {}
    #expect(!inodes.begins(9000))
    #expect(!inodes.begins(9125))
    #expect(inodes.begins(9126))
  }

  @Test func whatTheKernelDropsLaterCounts() {
    let inodes = Inodes(limit: 8000)
    #expect(inodes.begins(20000))
    while inodes.asked(for: 100) {}
    #expect(inodes.begins(19000))
  }

  @Test func whereNoneAreFoundTheSearchGoesOnAtTheNextRequest() {
    let inodes = Inodes(limit: 8000)
    #expect(inodes.begins(9000))
    inodes.foundNone()
    #expect(inodes.begins(9000))
  }

  @Test func theDefaultIsWithinItsBounds() {
    #expect((1 << 16...1 << 22).contains(KnownInodes(limit: nil).limit))
  }
}
