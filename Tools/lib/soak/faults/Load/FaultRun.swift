import Block
import CMachine
import EmulatedController
import NVMe
import PCI

/// A verifying load on an emulated controller that shows one fault after another at random moments.
///
/// A run is a series of lives of a device: each is opened, worked on, shown some faults and closed, or lost to one; the
/// next finds what the last left. Time is the run's own, so that deadlines of minutes cost nothing, and everything
/// follows from the seed.
public struct FaultRun {
  /// What came of a run.
  public struct Report: Sendable {
    /// Faults shown, by kind.
    public var faults: [FaultKind: Int] = [:]
    /// Commands of the load, and those of them that ended with an error.
    public var commands = 0
    public var errors = 0
    /// Lives of the device.
    public var lives = 0
    /// Resets of the controller.
    public var resets: UInt64 = 0
    /// The longest that a command took in the run's own time (ns).
    public var longest: UInt64 = 0
    /// What must not have happened.
    public var violations: [String] = []

    /// Faults shown.
    public var injections: Int { faults.values.reduce(0, +) }

    public init() {}
  }

  /// The size of the device in blocks.
  static let blocks = 96
  /// The most faults of one life.
  private static let faultsPerLife = 25

  private var random: SeededRandom
  private var ledger = Ledger(blocks: FaultRun.blocks)
  private var contents: SparseImage
  private let protection: Protection?
  private var report = Report()
  private let kinds: [FaultKind]

  /// - Parameters:
  ///   - seed: the run's seed.
  ///   - kinds: the kinds of faults to show.
  public init(seed: UInt64, kinds: [FaultKind] = FaultKind.allCases) {
    random = SeededRandom(seed: seed)
    self.kinds = kinds
    protection = Bool.random(using: &random) ? nil : Protection(&random)
    contents = SparseImage(size: FaultRun.blocks * (DMAArena.frameSize + (protection?.metadataPerFrame ?? 0)))
  }

  /// How the device of a run is formatted, where it has protection information.
  struct Protection {
    let blockSize: Int
    let type: UInt8
    /// Metadata of a logical block in bytes.
    static let metadataSize = 8

    init(_ random: inout some RandomNumberGenerator) {
      blockSize = Bool.random(using: &random) ? 4096 : 512
      type = UInt8.random(in: 1...3, using: &random)
    }

    /// Metadata of 4 KiB in bytes.
    var metadataPerFrame: Int { DMAArena.frameSize / blockSize * Self.metadataSize }
  }

  /// Shows so many faults, or stops at the first violation.
  public mutating func run(injections: Int) -> Report {
    while report.injections < injections, report.violations.isEmpty {
      let count = min(Int.random(in: 1...Self.faultsPerLife, using: &random), injections - report.injections)
      live(faults: count)
    }
    return report
  }

  /// One life of the device.
  private mutating func live(faults: Int) {
    report.lives += 1
    let life: Life
    do {
      life = try Life(contents: contents, protection: protection, ledger: ledger, random: random)
    } catch {
      report.violations.append("life \(report.lives): the device cannot be opened: \(error)")
      return
    }
    for _ in 0..<faults where life.isUsable && life.violations.isEmpty {
      guard let kind = kinds.randomElement(using: &random) else { break }
      if life.show(kind) { report.faults[kind, default: 0] += 1 }
    }
    life.end()
    report.violations += life.violations.map {
      "life \(report.lives), \(life.history.joined(separator: ", ")): \($0)"
    }
    report.commands += life.commands
    report.errors += life.errors
    report.resets += life.resets
    report.longest = max(report.longest, life.longest)
    (contents, ledger, random) = (life.contents, life.ledger, life.random)
  }
}

/// A generator of reproducible random numbers (SplitMix64).
struct SeededRandom: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}
