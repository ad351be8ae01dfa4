import Glibc
import Simulation

/// The figure of the page "Cleaning": for each trace a panel, for each policy a curve of write amplification over
/// fill.
struct Figure {
  private static let colours = ["#999999", "#4477aa", "#ccbb44", "#ee6677", "#228833", "#000000"]
  private static let names = CleaningModel.Policy.allCases.map(\.rawValue) + ["theory, oldest segment first"]
  /// Pixels of a panel, and the largest amplification that it shows.
  private static let width = 200.0
  private static let height = 150.0
  private static let highest = 4.0
  private static let panelsInRow = 3

  private let fills: [Double]
  /// For each trace, in order, the amplifications for each fill.
  private var panels: [(trace: String, rows: [[Double?]])] = []

  init(fills: [Double]) { self.fills = fills }

  static func rounded(_ value: Double) -> String { "\((value * 100).rounded() / 100)" }

  /// Adds a trace's amplifications at the next fill, in the order of `names`.
  mutating func add(_ trace: String, _ row: [Double?]) {
    if panels.last?.trace != trace { panels.append((trace, [])) }
    panels[panels.count - 1].rows.append(row)
  }

  func write(to path: String) throws {
    let text = lines.joined(separator: "\n") + "\n"
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
    guard descriptor >= 0 else { throw FigureError(path: path, code: errno) }
    defer { close(descriptor) }
    guard Glibc.write(descriptor, text, text.utf8.count) == text.utf8.count else {
      throw FigureError(path: path, code: errno)
    }
  }

  // MARK: SVG

  private var lines: [String] {
    let rows = (panels.count + Self.panelsInRow) / Self.panelsInRow
    let size = (Double(Self.panelsInRow) * (Self.width + 50) + 10, Double(rows) * (Self.height + 50) + 10)
    var lines = [
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 \(size.0) \(size.1)\" font-family=\"sans-serif\" "
        + "font-size=\"10\">",
      "<title>Write amplification of cleaning policies over the share of the device that holds data</title>",
      "<rect width=\"\(size.0)\" height=\"\(size.1)\" fill=\"white\"/>",
    ]
    for (index, panel) in panels.enumerated() { lines += draw(panel.trace, panel.rows, at: origin(index)) }
    lines += legend(at: origin(panels.count))
    return lines + ["</svg>"]
  }

  private func origin(_ index: Int) -> (x: Double, y: Double) {
    (
      40 + Double(index % Self.panelsInRow) * (Self.width + 50),
      30 + Double(index / Self.panelsInRow) * (Self.height + 50)
    )
  }

  private func draw(_ trace: String, _ rows: [[Double?]], at origin: (x: Double, y: Double)) -> [String] {
    var lines = [
      "<rect x=\"\(origin.x)\" y=\"\(origin.y)\" width=\"\(Self.width)\" height=\"\(Self.height)\" fill=\"none\" "
        + "stroke=\"#bbbbbb\"/>",
      text(origin.x + Self.width / 2, origin.y - 6, "middle", trace),
    ]
    for value in 1...Int(Self.highest) {
      lines.append(text(origin.x - 4, y(Double(value), origin) + 3, "end", "\(value)"))
    }
    for fill in fills {
      lines.append(text(x(fill, origin), origin.y + Self.height + 12, "middle", "\(fill)"))
    }
    for curve in Self.names.indices {
      let points = zip(fills, rows).compactMap { fill, row in
        row[curve].map {
          "\(Self.rounded(x(fill, origin))),\(Self.rounded(y(min($0, Self.highest), origin)))"
        }
      }
      guard !points.isEmpty else { continue }
      lines.append(
        "<polyline points=\"\(points.joined(separator: " "))\" fill=\"none\" stroke=\"\(Self.colours[curve])\" "
          + "stroke-width=\"1.5\"\(curve == Self.names.count - 1 ? " stroke-dasharray=\"4 3\"" : "")/>")
    }
    return lines
  }

  private func legend(at origin: (x: Double, y: Double)) -> [String] {
    Self.names.indices.flatMap { curve in
      let y = origin.y + 8 + Double(curve) * 18
      return [
        "<rect x=\"\(origin.x)\" y=\"\(y)\" width=\"16\" height=\"3\" fill=\"\(Self.colours[curve])\"/>",
        text(origin.x + 22, y + 5, "start", Self.names[curve]),
      ]
    } + [
      text(
        origin.x, origin.y + 20 + Double(Self.names.count) * 18, "start",
        "across: share of the device that holds data"),
      text(
        origin.x, origin.y + 34 + Double(Self.names.count) * 18, "start",
        "up: blocks written for each block of data"),
    ]
  }

  private func x(_ fill: Double, _ origin: (x: Double, y: Double)) -> Double {
    let low = (fills.min() ?? 0) - 0.02
    let high = (fills.max() ?? 1) + 0.02
    return origin.x + (fill - low) / (high - low) * Self.width
  }

  private func y(_ value: Double, _ origin: (x: Double, y: Double)) -> Double {
    origin.y + (1 - (value - 0.9) / (Self.highest - 0.9)) * Self.height
  }

  private func text(_ x: Double, _ y: Double, _ anchor: String, _ content: String) -> String {
    "<text x=\"\(Self.rounded(x))\" y=\"\(Self.rounded(y))\" text-anchor=\"\(anchor)\">\(content)</text>"
  }
}

/// The figure could not be written.
struct FigureError: Error, CustomStringConvertible {
  let path: String
  let code: Int32

  var description: String { "cannot write \(path): \(String(cString: strerror(code)))" }
}
