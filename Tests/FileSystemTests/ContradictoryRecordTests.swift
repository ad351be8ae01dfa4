import FileProtocol
import Format
import Testing

@testable import Simulation

/// Records of the log that contradict the filesystem, under right checksums: the mount is refused.
@Suite struct ContradictoryRecordTests {
  /// What the last log write records, and how its only record is changed.
  struct Case: CustomTestStringConvertible {
    let testDescription: String
    let request: @Sendable (Mounted) throws -> Void
    /// Gets the record's bytes.
    let edit: @Sendable (inout [UInt8]) -> Void

    init(
      _ name: String, _ request: @escaping @Sendable (Mounted) throws -> Void,
      _ edit: @escaping @Sendable (inout [UInt8]) -> Void
    ) {
      testDescription = name
      self.request = request
      self.edit = edit
    }

    static let all = [
      Case("create of a name that exists", { _ = try $0.makeFile("g") }, lastByte("f")),
      Case("directory with a name that exists", { _ = try $0.makeDirectory("g") }, lastByte("f")),
      Case("link with a name that exists", { try link($0, "f", as: "g") }, lastByte("f")),
      Case("rename to a name that exists", { try $0.rename("a", to: "g") }, lastByte("f")),
      Case("rename of a name of another inode", { try $0.rename("a", to: "g") }, oldName("f")),
      Case("replacement of another inode", { try $0.rename("a", to: "f") }, lastByte("b")),
      Case("exchange with another inode", { try $0.rename("a", to: "f", flags: 2) }, lastByte("b")),
      Case("unlink of a name of another inode", { try $0.unlink("a") }, lastByte("f")),
      Case("unlink of a name that does not exist", { try $0.unlink("a") }, lastByte("x")),
      Case("symlink without a target", symlink, emptyTarget),
      Case("flags of a create", { _ = try $0.makeFile("g") }, flag(1)),
      Case("flags of a change of attributes", chmod, flag(4)),
      Case("flags of an attribute", setAttribute, flag(4)),
    ]

    private static func chmod(_ mounted: Mounted) throws {
      var change = AttributeChange()
      change.mode = 0o600
      try mounted.change(try mounted.path("a"), change)
    }

    private static func lastByte(_ name: Character) -> @Sendable (inout [UInt8]) -> Void {
      { $0[$0.count - 1] = name.asciiValue ?? 0 }
    }

    /// The old name of a rename, which lies before the new name and its count.
    private static func oldName(_ name: Character) -> @Sendable (inout [UInt8]) -> Void {
      { $0[$0.count - 4] = name.asciiValue ?? 0 }
    }

    private static func flag(_ bit: UInt8) -> @Sendable (inout [UInt8]) -> Void {
      { $0[RecordHeader.fields.flags.offset] |= bit }
    }

    /// Of a target of one byte, the bytes of the name become one more, so that none are left.
    private static func emptyTarget(_ record: inout [UInt8]) {
      record.removeLast()
      record[record.count - 2] = 0
      record[RecordHeader.fields.length.offset] -= 1
    }

    private static func link(_ mounted: Mounted, _ name: String, as other: String) throws {
      let file = try mounted.path(name)
      try mounted.call(Call(.link, node: 1, name: other).with { $0.otherNode = file })
    }

    private static func symlink(_ mounted: Mounted) throws {
      try mounted.call(Call(.symlink, node: 1, name: "g").with { $0.otherName = Array("t".utf8) })
    }

    private static func setAttribute(_ mounted: Mounted) throws {
      try mounted.call(
        Call(.setxattr, node: try mounted.path("a"), name: "user.a").with { $0.payload = [1] })
    }
  }

  @Test(arguments: Case.all) func isRefused(_ test: Case) throws {
    let mounted = try Mounted()
    for name in ["a", "b", "f"] { _ = try mounted.makeFile(name) }
    try mounted.sync(1)
    try test.request(mounted)
    try mounted.sync(1)
    let image = mounted.harness.disk.crashImage(.none)
    var sealed = try SealedImage(image)
    let last = try #require(sealed.headers.indices.last)
    let header = try #require(sealed.header(at: sealed.headers[last]))
    try #require(header.inlineRecords.count == Int(header.recordBytes))
    sealed.editHeader(last) { page in
      var records = header.inlineRecords
      test.edit(&records)
      let start = LogHeader.fixedSize + header.runs.count * OwnerRun.size + header.checksums.count * 4
      records.withUnsafeBytes { page.copy($0, at: start) }
      page.store(UInt16(records.count), LogHeader.fields.inlineRecordBytes)
      page.store(UInt32(records.count), LogHeader.fields.recordBytes)
    }
    #expect(throws: SimulationFailure.self) { try mounted.mountAgain(sealed.image, nil) }
    try mounted.mountAgain(image, nil)
  }
}
