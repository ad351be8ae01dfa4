/// Rows of text under a heading, each column as wide as its widest cell.
struct Table {
  private let columns: [String]
  private var rows: [[String]] = []

  init(_ columns: String...) { self.columns = columns }

  /// Adds a row; a cell without text is shown as a dash.
  mutating func add(_ cells: String...) { rows.append(cells.map { $0.isEmpty ? "-" : $0 }) }

  /// The lines, the heading first.
  var text: String {
    let all = [columns] + rows
    let widths = columns.indices.map { column in
      all.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0
    }
    return all.map { row in
      let cells = row.enumerated().map { index, cell in
        index == row.count - 1
          ? cell : cell + String(repeating: " ", count: max(0, widths[index] - cell.count))
      }
      return cells.joined(separator: "  ")
    }.joined(separator: "\n")
  }
}
