import ArgumentParser
import Glibc
import Simulation

/// Compares cleaning policies on traces.
@main
struct Cleaning: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "cleaning",
    abstract: "Measures the write amplification of cleaning policies on traces, in a model of the log.",
    discussion: "Prints one line for each trace and fill: blocks written for each block of data.")

  @Option(help: "The shares of the device that hold data, with commas between them.")
  var fills = "0.5,0.6,0.67,0.75,0.8"

  @Option(help: "How often all data is overwritten, before measuring and again for it.")
  var rounds = 3

  @Option(help: "The seed of the traces.")
  var seed: UInt64 = 1

  @Option(help: "A file for the figure (SVG).")
  var svg: String?

  private var shares: [Double] { fills.split(separator: ",").compactMap { Double($0) } }

  func validate() throws {
    guard shares.count == fills.split(separator: ",", omittingEmptySubsequences: false).count,
      shares.allSatisfy({ (0.1...0.9).contains($0) })
    else { throw ValidationError("'\(fills)' are not fills between 0.1 and 0.9") }
    guard (1...100).contains(rounds) else { throw ValidationError("--rounds is 1 to 100") }
  }

  func run() throws {
    var figure = Figure(fills: shares)
    let policies = CleaningModel.Policy.allCases
    print("trace\tfill\t" + policies.map(\.rawValue).joined(separator: "\t") + "\ttheory")
    for trace in CleaningTrace.allCases {
      for fill in shares {
        let found = policies.map {
          CleaningModel.run($0, trace, fill: fill, rounds: rounds, seed: seed)?.amplification
        }
        let theory = trace == .uniform ? CleaningTheory.uniform(fill: fill) : nil
        print(
          "\(trace.rawValue)\t\(fill)\t"
            + (found + [theory]).map { $0.map(Figure.rounded) ?? "-" }.joined(separator: "\t"))
        fflush(nil)
        figure.add(trace.rawValue, found + [theory])
      }
    }
    if let svg { try figure.write(to: svg) }
  }
}
