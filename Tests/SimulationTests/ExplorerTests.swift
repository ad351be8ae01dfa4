import FileProtocol
import Simulation
import Testing

/// The explorer with a correct journal, and with ones that have a planted fault.
@Suite struct ExplorerTests {
  static func explore(_ fault: JournalService.Fault, _ scenario: Scenario, seeds: ClosedRange<UInt64>)
    -> (states: Int, violations: [Violation])
  {
    var settings = Explorer.Settings()
    settings.statesPerRun = 80
    settings.blockCount = 8192 + 1024
    settings.readOnlyEvery = 0
    let mounter = Mounter { memory, disk, _ in JournalService(memory: memory, disk: disk, fault: fault) }
    var states = 0
    for seed in seeds {
      let result = Explorer(scenario, mounter: mounter, settings: settings).explore(seed: seed)
      states += result.states
      if let violation = result.violations.first { return (states, [violation]) }
    }
    return (states, [])
  }

  private static func scenario(_ name: String) throws -> Scenario {
    try #require(Scenario.all.first { $0.name == name })
  }

  @Test(arguments: ["small", "append", "overwrite", "replace", "sizes", "links", "anything", "directory"])
  func aJournalKeepsThePromise(name: String) throws {
    let found = Self.explore(.none, try Self.scenario(name), seeds: 1...2)
    #expect(found.violations.map(\.description) == [])
    #expect(found.states >= 50)
  }

  @Test func recoveriesAreCrashedToo() throws {
    let found = Self.explore(.none, try Self.scenario("recovery"), seeds: 1...2)
    #expect(found.violations.map(\.description) == [])
  }

  @Test func clientsAtOnceKeepTheirOrder() throws {
    let found = Self.explore(.none, try Self.scenario("concurrent"), seeds: 1...1)
    #expect(found.violations.map(\.description) == [])
  }

  @Test(arguments: JournalService.Fault.allCases.filter { $0 != .none })
  func aPlantedFaultIsFound(fault: JournalService.Fault) throws {
    for name in ["anything", "replace"] {
      if !Self.explore(fault, try Self.scenario(name), seeds: 1...6).violations.isEmpty { return }
    }
    Issue.record("\(fault) was not found")
  }
}
