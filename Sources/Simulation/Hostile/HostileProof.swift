import Checker
import FileProtocol
import FileSystem
import Format

/// Runs images with right checksums and wrong contents through a read-only mount, a mount that changes
/// everything, and the checker without and with repairs.
///
/// Nothing may trap, hang or go on without bound. An image that the checker finds clean must be usable
/// without an error and still be clean afterwards; one that it has repaired must be clean when it is checked
/// again.
public final class HostileProof {
  /// The result with one image.
  public struct Outcome: Sendable {
    /// Whether each mount was refused, the read-only one first.
    public var refused = [false, false]
    /// Replies that were errors about damage.
    public var errors = 0
    /// Errors that the checker found; nil when it could not check the image.
    public var findings: Int?
    /// Errors left after a repair.
    public var left: Int?
  }

  /// Events that one mount may take.
  private static let eventLimit = 2_000_000
  private static let time: Int64 = 1_700_000_000_000_000_000

  private let pool = BlockPool()
  private let memory = SimulatedMemory()
  private let bases: [(sealed: SealedImage, catalog: StructureCatalog)]

  /// Fills the disks from which hostile images are made.
  /// - Throws: `SimulationFailure` when they cannot be filled.
  public init(seed: UInt64 = 1) throws {
    let disk = try RichDisk(pool: pool, memory: memory, seed: seed)
    bases = try [disk.clean, disk.torn].map { image in
      let sealed = try SealedImage(image)
      return (sealed, StructureCatalog(sealed))
    }
  }

  /// How many structures of a kind there are, in both images.
  public func count(_ structure: LiedStructure) -> Int {
    bases.reduce(0) { $0 + ($1.catalog.places[structure]?.count ?? 0) }
  }

  /// Makes the image of a seed and runs it.
  /// - Throws: `SimulationFailure` with what went wrong.
  public func run(_ structure: LiedStructure?, seed: UInt64) throws -> Outcome {
    try run { lie(structure, seed: seed) }
  }

  /// Runs an image in which `edit` has changed something.
  /// - Throws: `SimulationFailure` with what went wrong.
  func run(editing edit: (inout SealedImage, StructureCatalog) throws -> Void) throws -> Outcome {
    try run {
      var sealed = bases[0].sealed
      try edit(&sealed, bases[0].catalog)
      return sealed.image
    }
  }

  private func run(_ make: () throws -> DiskImage) throws -> Outcome {
    try pool.scratch { () throws(SimulationFailure) in
      do {
        var outcome = Outcome()
        let image = try make()
        try check(image, &outcome)
        try mount(image, writing: false, &outcome)
        try mount(image, writing: true, &outcome)
        try repair(image, &outcome)
        return outcome
      } catch { throw SimulationFailure("\(error)") }
    }
  }

  /// Calls `body` with every block of the image of a seed, in order.
  public func forEachBlock(
    _ structure: LiedStructure?, seed: UInt64, _ body: (UnsafeRawBufferPointer) throws -> Void
  ) rethrows {
    try pool.scratch {
      let image = lie(structure, seed: seed)
      for version in image.versions {
        try body(UnsafeRawBufferPointer(start: pool.bytes(version), count: Page.size))
      }
    }
  }

  private func lie(_ structure: LiedStructure?, seed: UInt64) -> DiskImage {
    let base = bases[structure == .logHeader || structure == .logRecord ? 1 : Int(seed & 1)]
    var liar = Liar(base.sealed, base.catalog, seed: seed)
    if let structure { liar.lie(about: structure) }
    return liar.image
  }

  // MARK: The filesystem

  private func mount(_ image: DiskImage, writing: Bool, _ outcome: inout Outcome) throws {
    let what = writing ? "mounted to write" : "mounted to read"
    let disk = SimulatedDisk(image)
    let service = FileSystem.simulated(memory, disk) { $0.readOnly = !writing }
    let harness = Harness(service: service, disk: disk, memory: memory)
    harness.afterEvent = { [unowned harness] in
      guard harness.events < Self.eventLimit else { throw SimulationFailure("goes on without end") }
    }
    do {
      do { try harness.mount() } catch {
        guard let failure = service.failure else { throw error }
        guard !failure.contains("\n") else { throw SimulationFailure("says more than one line: \(failure)") }
        outcome.refused[writing ? 1 : 0] = true
        if outcome.findings == 0 { throw SimulationFailure("fsck is silent, but: \(failure)") }
        return
      }
      let work = try HostileWork(harness, writing: writing)
      outcome.errors += work.refusals.count
      if outcome.findings == 0, let refusal = work.refusals.first {
        throw SimulationFailure("fsck is silent, but: \(refusal)")
      }
      if service.failure == nil { try harness.unmount() }
      if let failure = service.failure, outcome.findings == 0 {
        throw SimulationFailure("fsck is silent, but: \(failure)")
      }
      guard writing else {
        if disk.statistics.writes > 0 { throw SimulationFailure("writes") }
        return
      }
      if outcome.findings == 0, let fault = ImageReader.fault(disk.image) {
        throw SimulationFailure("was clean before, \(fault)")
      }
    } catch { throw SimulationFailure("\(what): \(error)") }
  }

  // MARK: The checker

  /// Counts the findings of a check without repairs.
  private func check(_ image: DiskImage, _ outcome: inout Outcome) throws {
    let overlay = Overlay(over: ImageReader(image))
    do throws(ImageError) {
      if try Recovery.isNeeded(overlay) {
        do throws(RecoveryError) { _ = try Recovery.replay(overlay, time: Self.time) } catch {
          outcome.findings = max(1, try Checker.check(overlay).errorCount)
          return
        }
      }
      outcome.findings = try Checker.check(overlay).errorCount
    } catch { outcome.findings = nil }
  }

  /// Repairs everything that can be repaired, as fsck.varve -y does, and checks again.
  private func repair(_ image: DiskImage, _ outcome: inout Outcome) throws {
    let overlay = Overlay(over: ImageReader(image))
    do throws(ImageError) {
      if try Recovery.isNeeded(overlay) {
        do throws(RecoveryError) {
          _ = try Recovery.replay(Overlay(over: overlay), time: Self.time)
          _ = try Recovery.replay(overlay, time: Self.time)
        } catch {
          let mended = try Checker.repairBeneathLog(overlay, time: Self.time)
          guard mended.repaired > 0, (try? Recovery.replay(overlay, time: Self.time)) != nil else {
            outcome.left = max(1, mended.after.errorCount)
            do { try Checker.dropLog(overlay, time: Self.time) } catch { return }
            return
          }
        }
      }
      let mended = try Checker.repair(overlay, time: Self.time) { _ in true }
      outcome.left = mended.after.errorCount
    } catch { return }
    guard outcome.left == 0 else { return }
    let again: CheckReport
    do { again = try Checker.check(overlay) } catch { throw SimulationFailure("mended, but \(error)") }
    if let finding = again.findings.first(where: { $0.severity > .note }) {
      throw SimulationFailure("mended, but not clean: \(finding)")
    }
    try serve(overlay)
  }

  /// Checks that a repaired filesystem is usable without an error.
  private func serve(_ overlay: Overlay) throws {
    var image = DiskImage(pool: pool, blockCount: overlay.blockCount)
    let buffer = UnsafeMutableRawPointer.allocate(byteCount: Page.size, alignment: 16)
    defer { buffer.deallocate() }
    for block in 0..<overlay.blockCount {
      withUnsafePointer(to: block) {
        _ = overlay.read(UnsafeBufferPointer(start: $0, count: 1), into: buffer)
      }
      image.versions[Int(block)] = Page(buffer).isZero ? 0 : pool.add(buffer)
    }
    var outcome = Outcome()
    outcome.findings = 0
    do { try mount(image, writing: true, &outcome) } catch {
      throw SimulationFailure("after repair, \(error)")
    }
  }
}
