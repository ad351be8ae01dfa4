import Format

/// The paths of names that a repair takes away because what they lead to is lost.
struct LostNames {
  /// A tree deeper than this, or one that leads in a circle, is named from here on only.
  private static let depthLimit = 4096

  private let transaction: Transaction
  private var known: [UInt64: String] = [NodeID.root.number: ""]

  /// - Parameter check: a finished check of what is about to be mended.
  init(_ check: Check, _ image: any BlockWriter) {
    transaction = Transaction(check, writer: image, time: 0)
  }

  /// The paths that these findings, about to be mended, are about.
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
    // Without a name that leads to the root it will be under this one.
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
