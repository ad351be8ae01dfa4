import FileProtocol
import FileSystem
import Format

/// Runs a workload on a filesystem whose memory a malicious device or vfio-user server changes at any moment,
/// also after a block's checksum was checked.
///
/// Replies may be wrong, and everything may fail. But nothing traps, no event or request goes on for ever, no
/// command lies outside of the device or overlaps another, and a filesystem that is to stop stops. Neither
/// the checker nor a mount traps on the disk that is left.
public final class ChangedPagesProof {
  /// The result of a run.
  public struct Outcome: Sendable {
    public var mounts = 0
    public var refusedMounts = 0
    public var answers = 0
    /// Replies that were errors about damage.
    public var errors = 0
    public var changes = 0

    public init() {}
  }

  private let pool = BlockPool()
  private let memory = SimulatedMemory()
  private let images: [DiskImage]
  private let sealed: SealedImage
  private let catalog: StructureCatalog

  /// Fills the disks for the runs.
  /// - Throws: `SimulationFailure` when they cannot be filled.
  public init(seed: UInt64 = 1) throws {
    let disk = try RichDisk(pool: pool, memory: memory, seed: seed)
    images = [disk.clean, disk.torn]
    sealed = try SealedImage(disk.clean)
    catalog = StructureCatalog(sealed)
  }

  /// Runs a workload on a disk, stops in order or not, and mounts the disk that is left.
  /// - Parameter isRacing: whether another thread changes memory too; then the seed does not determine the
  ///   run.
  /// - Throws: `SimulationFailure` with what went wrong.
  public func run(seed: UInt64, isRacing: Bool = false) throws -> Outcome {
    try pool.scratch { () throws(SimulationFailure) in
      do {
        var random = SeededRandom(seed, stream: 0x63686167)
        var outcome = Outcome()
        var image = images[Int(seed & 1)]
        for life in 0..<2 {
          image = try live(image, seed: random.next(), isRacing: isRacing && life == 0, &outcome)
          if random.chance(25) { _ = ImageReader.fault(image) }
        }
        return outcome
      } catch { throw SimulationFailure("\(error)") }
    }
  }

  /// One mount, with its workload.
  /// - Returns: the disk afterwards.
  private func live(
    _ image: DiskImage, seed: UInt64, isRacing: Bool, _ outcome: inout Outcome
  ) throws -> DiskImage {
    var random = SeededRandom(seed, stream: 0x6c696665)
    let disk = SimulatedDisk(image, profile: DiskProfile(seed: seed), seed: seed)
    disk.seesMemoryChange = false
    let shape = Shape(seed: seed)
    let isReadOnly = random.chance(5)
    let service = FileSystem.simulated(memory, disk) {
      $0.readOnly = isReadOnly
      $0.checkpointBlocks = shape.checkpointBlocks
      $0.commitInterval = shape.commitInterval
      $0.borrowedBlocks = shape.borrowedBlocks
      $0.checkpointNodesPerStep = shape.checkpointNodesPerStep
      $0.missSeed = shape.missSeed
      $0.accessTimes = random.pick([.never, .relative, .always]) ?? .relative
    }
    let harness = Harness(service: service, disk: disk, memory: memory, seed: seed)
    // The memory of the nodes is written to from outside, so counts may contradict what lies in them.
    harness.checksInvariants = false
    var changer = PageChanger(memory, values: LyingValues(sealed, catalog, seed: random.next()))
    // In the other half nothing changes before the filesystem is mounted, because most changes would make the
    // mount fail.
    let percent = random.pick([2, 10, 40, 100]) ?? 10
    var changes = 0
    var isChanging = random.chance(50)
    harness.afterEvent = { [unowned disk] in
      guard isChanging, random.chance(percent) else { return }
      for _ in 0...random.below(3) { changer.change(busy: disk.busyFrames) }
      changes += 1
    }
    defer { outcome.changes += changes }
    outcome.mounts += 1
    do { try harness.mount() } catch {
      guard service.failure != nil else { throw error }
      outcome.refusedMounts += 1
      return disk.image
    }
    isChanging = true
    let racing = try isRacing ? RacingChanger(changer) : nil
    var work = UntrustedWork(harness, seed: random.next())
    try withExtendedLifetime(racing) {
      try work.run(requests: random.number(20...600))
      outcome.answers += work.answers
      outcome.errors += work.errors
      if random.chance(70) { try harness.idle(UInt64(random.below(20)) * 1_000_000_000) }
      if random.chance(70) { try harness.unmount() }
    }
    guard service.isStopped else { return disk.crashImage(.random(random.next())) }
    return disk.image
  }
}
