import Format

/// The paths of names that a repair removes because their inodes are lost.
struct LostNames {
  /// In a tree deeper than this, or in a cycle, only the lower part of the path is found.
  private static let depthLimit = 4096

  private let transaction: Transaction
  private var known: [UInt64: String] = [NodeID.root.number: ""]

  /// - Parameter check: a finished check of the filesystem about to be repaired.
  init(_ check: Check, _ image: any BlockWriter) {
    transaction = Transaction(check, writer: image, time: 0)
  }

  /// The paths of the names that repairing these findings removes.
  mutating func paths(_ findings: [Finding]) -> [String] {
    findings.compactMap { finding in
      guard finding.kind == .danglingRecord, case .name(let name, let directory) = finding.place,
        directory != NodeID.orphans.number
      else { return nil }
      return "\(path(of: directory))/\(name.printable)"
    }
  }

  private mutating func path(of directory: UInt64) -> String {
    var way: [UInt64] = []
    var place = directory
    while known[place] == nil, way.count < Self.depthLimit {
      way.append(place)
      place = transaction.check.directories[place]?.foundIn ?? 0
      guard place != 0 else { break }
    }
    // A directory without a path to the root will get this name.
    var path = known[place] ?? way.popLast().map { "lost+found/#\($0)" } ?? ""
    for number in way.reversed() {
      path += "/\(name(of: number))"
      known[number] = path
    }
    return path
  }

  private func name(of directory: UInt64) -> String {
    guard let summary = transaction.check.directories[directory],
      let records = try? transaction.records(of: summary.foundIn).records,
      let record = records.first(where: { $0.key == summary.foundKey })
    else { return "#\(directory)" }
    return record.name.printable
  }
}
