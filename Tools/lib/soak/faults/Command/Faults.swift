import ArgumentParser
import FaultLoad
import Glibc

/// Shows the driver every kind of fault at random moments of a verifying load.
@main
struct Faults: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "faults",
    abstract: "Shows the driver faults of the emulated controller at random moments of a verifying load.",
    discussion: "Prints 'injections N violations M' and exits with 1 when M is not 0.")

  @Option(help: "The seed that everything is derived from.")
  var seed: UInt64 = 1

  @Option(help: "How many faults to show.")
  var rounds = 10_000

  @Option(help: "Faults of each run, which begins with an empty device and a seed of its own.")
  var perRun = 500

  mutating func run() throws {
    var total = FaultRun.Report()
    var number: UInt64 = 0
    let descriptors = Self.openDescriptors
    while total.injections < rounds, total.violations.isEmpty {
      let seed = seed &+ number
      var run = FaultRun(seed: seed)
      let report = run.run(injections: min(perRun, rounds - total.injections))
      total.add(report, seed: seed)
      number += 1
    }
    let left = Self.openDescriptors - descriptors
    if left != 0 { total.violations.append("\(left) descriptors were left open") }
    for kind in FaultKind.allCases { print("\(total.faults[kind] ?? 0)\t\(kind.rawValue)") }
    print(
      "\(total.commands) commands, \(total.errors) errors, \(total.lives) lives, \(total.resets) resets, longest "
        + "\(total.longest / 1_000_000_000) s")
    for violation in total.violations { print(violation) }
    print("injections \(total.injections) violations \(total.violations.count)")
    if !total.violations.isEmpty { throw ExitCode(1) }
  }

  /// How many descriptors the process has open.
  private static var openDescriptors: Int {
    guard let folder = opendir("/proc/self/fd") else { return 0 }
    defer { closedir(folder) }
    var count = 0
    while readdir(folder) != nil { count += 1 }
    return count
  }
}

extension FaultRun.Report {
  /// Adds another run's report.
  mutating func add(_ other: Self, seed: UInt64) {
    faults.merge(other.faults, uniquingKeysWith: +)
    commands += other.commands
    errors += other.errors
    lives += other.lives
    resets += other.resets
    longest = max(longest, other.longest)
    violations += other.violations.map { "seed \(seed): \($0)" }
  }
}
