import CMachine
import Format

extension ErrorRecord {
  /// The plural of each kind.
  public static func name(of kind: Kind) -> String {
    switch kind {
    case .checksum: "damaged blocks"
    case .read: "failed reads"
    case .write: "failed writes"
    case .mount: "refused mounts"
    }
  }

  /// How many errors of which kinds there were, and when: a line each.
  public var lines: [String] {
    guard let first, let last else { return [] }
    let counts = Kind.allCases.filter { count(of: $0) > 0 }.map { "\(Self.name(of: $0)) \(count(of: $0))" }
    return [counts.joined(separator: ", "), "first: \(first.text)", "last: \(last.text)"]
  }
}

extension ErrorRecord.Event {
  /// When, what and where.
  public var text: String {
    var words = [timeText(time, digits: 0)]
    switch kind {
    case .checksum: words.append("damage found")
    case .read: words.append("read failed")
    case .write: words.append("write failed")
    case .mount: words.append("mount refused")
    }
    if inode != 0 { words.append("inode \(inode)") }
    if block != 0 { words.append("block \(block)") }
    if code != 0 { words.append(String(cString: cm_block_error(code))) }
    return words.joined(separator: ", ")
  }
}
