import Foundation
import Testing

/// The faults that `Tools/mutants` plants.
@Suite struct PlantedFaultTests {
  private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()

  @Test("The text that each fault replaces is in its file exactly once")
  func textIsThere() throws {
    let folder = Self.root.appending(path: "Tools/lib/mutants")
    let faults = try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
      .filter { $0.pathExtension == "fault" }
    #expect(!faults.isEmpty)
    for fault in faults {
      let text = try String(contentsOf: fault, encoding: .utf8)
      let parts = text.components(separatedBy: "\n---\n")
      let file = try #require(parts[0].components(separatedBy: "\n").first { $0.hasPrefix("file: ") })
      let replaced = try #require(parts.last?.components(separatedBy: "\n+++\n").first)
      let source = try String(
        contentsOf: Self.root.appending(path: String(file.dropFirst(6))), encoding: .utf8)
      #expect(source.components(separatedBy: replaced).count == 2, "\(fault.lastPathComponent)")
    }
  }
}
