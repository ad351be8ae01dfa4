import ArgumentParser
import FileProtocol
import FileSystem
import Glibc
import Simulation

/// Explores what power cuts leave behind.
@main
struct Crash: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "crash",
    abstract:
      "Cuts the power at many moments of many runs, mounts what is left, and compares it with the promise.",
    discussion: "Prints 'states N violations M' and exits with 1 when M is not 0.")

  @Option(help: "The kind of work, or 'all'.")
  var workload = "all"

  @Option(help: "The seed that all runs are derived from.")
  var seed: UInt64 = 1

  @Option(help: "How many crash states to examine in all.")
  var states = 2000

  @Option(help: "Size of the disk in MiB, in all runs; else each run has sizes and options of its own.")
  var diskSize: UInt64?

  @Option(help: ArgumentHelp("Stop after this many violations.", valueName: "count"))
  var limit = 10

  @Option(
    name: .customLong("run"),
    help: ArgumentHelp("Examine this run only, which a violation named.", valueName: "seed"))
  var runSeed: UInt64?

  @Option(help: ArgumentHelp("Cut the power after this event of the run only.", valueName: "event"))
  var point: Int?

  @Option(help: ArgumentHelp("Examine this state of the point only.", valueName: "index"))
  var state: Int?

  @Flag(help: "Print every action, answer and device command of the run.")
  var trace = false

  @Flag(help: "List the kinds of work.")
  var list = false

  func validate() throws {
    if workload != "all", !Scenario.all.contains(where: { $0.name == workload }) {
      throw ValidationError("there is no workload '\(workload)'; --list names them")
    }
    if (point != nil || state != nil) && runSeed == nil {
      throw ValidationError("--point and --state need --run")
    }
  }

  mutating func run() throws {
    Self.makeRepeatable()
    if list {
      for scenario in Scenario.all { print("\(pad(scenario.name))\(scenario.summary)") }
      return
    }
    let scenarios = Scenario.all.filter { workload == "all" || $0.name == workload }
    var total = Explorer.Result()
    for scenario in scenarios {
      total.add(explore(scenario, states: max(1, states / scenarios.count)))
    }
    print("of them without the newest checkpoint \(total.lostCheckpoints), not mounted \(total.refusals)")
    print("of them read-only first \(total.readOnlyMounts), with too long a log for that \(total.longLogs)")
    print(
      "longest wait \(total.longestWait / 1000) simulated us, longest step \(total.mostWork) of \(FileSystem.stepLimit) units"
    )
    print("states \(total.states) violations \(total.violations.count)")
    if !total.violations.isEmpty { throw ExitCode(1) }
  }

  private func explore(_ scenario: Scenario, states: Int) -> Explorer.Result {
    var settings = Explorer.Settings()
    if let diskSize { settings.blockCount = diskSize * 256 }
    settings.variesShape = diskSize == nil
    settings.point = point
    settings.state = state
    var seeds = SeededRandom(seed)
    var total = Explorer.Result()
    var runs = 0
    repeat {
      let explorer = Explorer(scenario, mounter: .fileSystem(), settings: settings)
      explorer.inspector = { image, moment in
        moment == .crashed ? nil : ImageReader.fault(image, isSettled: moment == .settled)
      }
      if trace { explorer.trace = { print($0) } }
      let result = explorer.explore(seed: runSeed ?? seeds.next() & 0xffff_ffff)
      runs += 1
      total.add(result)
      for violation in result.violations.prefix(limit) { print("\(violation)") }
    } while runSeed == nil && total.states < states && total.violations.count < limit
    print("\(pad(scenario.name))runs \(runs) states \(total.states) violations \(total.violations.count)")
    fflush(nil)
    return total
  }

  private func pad(_ name: String) -> String { name + String(repeating: " ", count: max(1, 14 - name.count)) }

  /// Swift orders sets and dictionaries differently in each process unless told not to.
  private static func makeRepeatable() {
    guard getenv("SWIFT_DETERMINISTIC_HASHING") == nil else { return }
    setenv("SWIFT_DETERMINISTIC_HASHING", "1", 1)
    var arguments = CommandLine.arguments.map { strdup($0) } + [nil]
    execv("/proc/self/exe", &arguments)
  }
}
