import Format
import Testing

@testable import Checker

@Suite("An intact filesystem")
struct CleanTests {
  @Test("A new one is clean, at every size", arguments: [9000, 1 << 14, 1 << 20, 1 << 28, 1 << 32])
  func formatted(blocks: UInt64) throws {
    let report = try Checker.check(ImageBuilder(blocks: blocks).image)
    #expect(report.findings.isEmpty, "\(report.findings.text)")
    #expect(report.directories == 2 && report.files == 0 && report.liveBlocks == 3)
  }

  @Test("One with files, maps, large directories, attributes and orphans is clean")
  func populated() throws {
    let (builder, _) = try ImageBuilder.populated()
    let report = try Checker.check(builder.image)
    #expect(report.findings.isEmpty, "\(report.findings.text)")
    #expect(report.files == 207 && report.directories == 5 && report.orphans == 1)
    #expect(report.verifiedBlocks == 2 + 140 + 300)
  }

  @Test("Neither a check nor a repair changes an intact filesystem")
  func untouched() throws {
    let (builder, _) = try ImageBuilder.populated()
    let over = Overlay(over: builder.image)
    let outcome = try Checker.repair(over, time: 0) { _ in true }
    #expect(outcome.before.isClean && over.writtenBlocks.isEmpty)
  }
}
