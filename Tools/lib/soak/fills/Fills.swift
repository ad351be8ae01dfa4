import ArgumentParser
import Glibc
import Simulation

/// Fills small disks in every way and cuts the power.
@main
struct Fills: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "fills",
    abstract:
      "Fills small simulated disks with names, attributes, maps or data, works on them when they are full, cuts the "
      + "power at any moment, and mounts what is left.",
    discussion: "Prints 'disks N mounts N violations N' and exits with 1 when there are violations.")

  @Option(help: "The first seed; every disk has its own.")
  var seed: UInt64 = 1

  @Option(help: "How many disks to fill.")
  var disks: UInt64 = 12

  @Option(help: "How often each is mounted and cut off.")
  var lives = 10

  @Option(help: "What to fill with; one after another when left out.")
  var kind: String?

  @Flag(help: "Say for each disk what came of it.")
  var verbose = false

  func validate() throws {
    guard kind == nil || kind.flatMap(FillProof.Kind.init) != nil else {
      throw ValidationError(
        "there is no kind '\(kind ?? "")'; there are "
          + FillProof.Kind.allCases.map(\.rawValue).joined(separator: ", "))
    }
  }

  func run() throws {
    var violations = 0
    var total = FillProof.Outcome()
    for number in seed..<seed + disks {
      let kinds = FillProof.Kind.allCases
      let kind = kind.flatMap(FillProof.Kind.init) ?? kinds[Int(number % UInt64(kinds.count))]
      do {
        let outcome = try FillProof(kind, seed: number).run(lives: lives)
        total.mounts += outcome.mounts
        total.longestRequest = max(total.longestRequest, outcome.longestRequest)
        total.longestMount = max(total.longestMount, outcome.longestMount)
        if verbose { print("disk \(number) \(kind.rawValue): \(outcome)") }
      } catch {
        violations += 1
        print("fills --seed \(number) --disks 1 --lives \(lives) --kind \(kind.rawValue): \(error)")
      }
      fflush(nil)
    }
    print("longest request \(total.longestRequest) events, longest mount \(total.longestMount) events")
    print("disks \(disks) mounts \(total.mounts) violations \(violations)")
    if violations > 0 { throw ExitCode(1) }
  }
}
