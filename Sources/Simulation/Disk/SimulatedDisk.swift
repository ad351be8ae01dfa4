import BlockProtocol
import FileProtocol
import Format
import Glibc

/// A disk of 4 KiB blocks in memory: it completes commands in an order that a seed chooses, keeps writes in a
/// volatile cache until a flush, and can show at any moment what a power cut could leave.
///
/// Only one disk that is not inside `BlockPool.scratch` may use a pool. Errors of the filesystem that no disk
/// could make right (a buffer changed under a write, two writes of one block at once) are listed in `misuse`.
public final class SimulatedDisk {
  /// A write or discard that a power cut may undo, wholly or in part.
  struct Unsettled {
    var block: UInt64
    /// The new version of each block; `dropped` where a later write was settled.
    var versions: [UInt32]
    /// Its place in the order of completion; nil in flight.
    var completed: UInt64?
    var serial: UInt64
  }

  struct InFlight {
    var command: BlockCommand
    var serial: UInt64
    var frames: [UInt32]
    var versions: [UInt32]
    /// For a flush: completions up to this one are made durable.
    var covers: UInt64
    var errno: Int32
  }

  static let dropped = UInt32.max

  public let profile: DiskProfile
  public let pool: BlockPool
  public let blockCount: UInt64
  public var faults: [DiskFault] = []
  /// What the filesystem did to the disk that it must not do, in words.
  public private(set) var misuse: [String] = []
  /// Whether a buffer that changes while its write is in flight is misuse; not where a test changes memory
  /// itself.
  var seesMemoryChange = true
  /// Checks where the filesystem writes, if that is to be checked.
  var segmentGuard: SegmentGuard?
  /// Counts of commands submitted.
  public private(set) var statistics = Statistics()
  /// When set, is called with a line for each command and completion.
  public var trace: ((String) -> Void)?

  var durable: DiskImage
  var unsettled: [Unsettled] = []
  private(set) var inFlight: [InFlight] = []
  private var current: [UInt32]
  private var unreadable: Set<UInt64>
  private var beingWritten: [UInt64: Int] = [:]
  private var memory: UnsafeMutableRawPointer?
  private var serial: UInt64 = 0
  private var completions: UInt64 = 0
  private var random: SeededRandom
  private var collectAt: Int

  public struct Statistics: Sendable, Equatable {
    public var reads = 0
    public var writes = 0
    public var blocksWritten = 0
    public var flushes = 0
    public var discards = 0
  }

  public init(_ image: DiskImage, profile: DiskProfile = DiskProfile(), seed: UInt64 = 1) {
    self.profile = profile
    pool = image.pool
    blockCount = image.blockCount
    durable = image
    current = image.versions
    unreadable = image.unreadable
    random = SeededRandom(seed, stream: 0x636f6d70)
    collectAt = max(65536, image.versions.count * 2)
  }

  /// Tells the disk where arena frame 0 lies.
  public func attach(memory: UnsafeMutableRawPointer) { self.memory = memory }

  /// The disk as it would be with its cache written back now.
  public var image: DiskImage {
    var image = durable
    image.versions = current
    image.unreadable = unreadable
    return image
  }

  public var isIdle: Bool { inFlight.isEmpty }

  /// Arena frames of the commands in flight.
  var busyFrames: [UInt32] { inFlight.flatMap(\.frames) }

  // MARK: Submission

  /// Accepts a command.
  public func submit(_ command: BlockCommand) {
    serial += 1
    var entry = InFlight(
      command: command, serial: serial, frames: [], versions: [], covers: completions, errno: 0)
    entry.command.frames = nil
    if command.operation != .flush, command.count == 0 || command.block + UInt64(command.count) > blockCount {
      misuse.append("\(command.operation) of blocks \(command.block)+\(command.count) outside of the disk")
      entry.errno = EINVAL
    } else {
      entry.errno = strike(command)
      accept(command, &entry)
    }
    if let trace { trace("submit  #\(serial) \(Self.describe(command))") }
    inFlight.append(entry)
  }

  private func strike(_ command: BlockCommand) -> Int32 {
    let operation: DiskFault.Operation? =
      switch command.operation {
      case .read: .read
      case .write: .write
      case .flush: .flush
      case .discard: .discard
      case .writeZeroes, .verify, .compare: nil
      }
    guard let operation else { return EOPNOTSUPP }
    for index in faults.indices
    where faults[index].strikes(operation, block: command.block, blockCount: UInt64(command.count)) {
      return faults[index].errno
    }
    return 0
  }

  private func accept(_ command: BlockCommand, _ entry: inout InFlight) {
    switch command.operation {
    case .read:
      statistics.reads += 1
      if entry.errno == 0, isUnreadable(command) { entry.errno = EIO }
      entry.frames = Array(UnsafeBufferPointer(start: command.frames, count: Int(command.count)))
    case .write:
      statistics.writes += 1
      statistics.blocksWritten += Int(command.count)
      entry.frames = Array(UnsafeBufferPointer(start: command.frames, count: Int(command.count)))
      claim(command)
      if let memory {
        entry.versions = entry.frames.map { pool.add(memory + Int($0) * Page.size) }
      }
      watch(command, entry.versions)
      unsettled.append(Unsettled(block: command.block, versions: entry.versions, serial: entry.serial))
    case .flush: statistics.flushes += 1
    case .discard:
      statistics.discards += 1
      claim(command)
      watch(command, [])
      entry.versions = (0..<Int(command.count)).map { index in
        let old = current[Int(command.block) + index]
        switch profile.discarded {
        case .zeros: return 0
        case .old: return old
        case .mixed: return random.chance(50) ? 0 : old
        }
      }
      unsettled.append(Unsettled(block: command.block, versions: entry.versions, serial: entry.serial))
    case .writeZeroes, .verify, .compare:
      misuse.append("\(Self.describe(command)), which no filesystem submits")
    }
  }

  private func watch(_ command: BlockCommand, _ versions: [UInt32]) {
    guard let segmentGuard else { return }
    let blocks = versions.map { UnsafeRawPointer(pool.bytes($0)) }
    if let fault = segmentGuard.observe(command, blocks, image: image, durable: durable) {
      misuse.append(fault)
    }
  }

  /// Claims the blocks of a write or discard: two of them in flight for one block, whose order is undefined,
  /// are misuse.
  private func claim(_ command: BlockCommand) {
    for block in command.block..<command.block + UInt64(command.count) {
      if beingWritten[block, default: 0] > 0 {
        misuse.append("\(Self.describe(command)) while block \(block) is being written or discarded")
      }
      beingWritten[block, default: 0] += 1
    }
  }

  private func unclaim(_ command: BlockCommand) {
    for block in command.block..<command.block + UInt64(command.count) {
      let left = beingWritten[block, default: 1] - 1
      beingWritten[block] = left > 0 ? left : nil
    }
  }

  // MARK: Completion

  /// Completes one of the commands in flight.
  /// - Returns: its tag and errno, nil when nothing is in flight.
  public func completeOne() -> (tag: UInt64, errno: Int32)? {
    guard !inFlight.isEmpty else { return nil }
    var index = 0
    if profile.order == .mixed {
      switch random.below(4) {
      case 0: index = inFlight.count - 1
      case 1: index = 0
      default: index = random.below(inFlight.count)
      }
    }
    let entry = inFlight.remove(at: index)
    completions += 1
    finish(entry)
    if let trace { trace("complete #\(entry.serial) errno \(entry.errno)") }
    collectWhenLarge()
    return (entry.command.tag, entry.errno)
  }

  private func finish(_ entry: InFlight) {
    let command = entry.command
    guard entry.errno != EINVAL else { return }
    switch command.operation {
    case .read: if entry.errno == 0 { finishRead(entry) }
    case .write:
      unclaim(command)
      checkUnchanged(entry)
      settle(entry, durably: !profile.hasVolatileCache || command.forceUnitAccess)
    case .discard:
      unclaim(command)
      settle(entry, durably: !profile.hasVolatileCache)
    case .flush: if entry.errno == 0 { finishFlush(covers: entry.covers) }
    case .writeZeroes, .verify, .compare: break
    }
  }

  private func finishRead(_ entry: InFlight) {
    guard let memory else { return }
    for (index, frame) in entry.frames.enumerated() {
      let version = current[Int(entry.command.block) + index]
      (memory + Int(frame) * Page.size).copyMemory(from: pool.bytes(version), byteCount: Page.size)
    }
  }

  /// Whether a read contains a block that cannot be read.
  private func isUnreadable(_ command: BlockCommand) -> Bool {
    guard !unreadable.isEmpty else { return false }
    return (command.block..<command.block + UInt64(command.count)).contains { unreadable.contains($0) }
  }

  private func checkUnchanged(_ entry: InFlight) {
    guard let memory, seesMemoryChange, entry.versions.count == entry.frames.count else { return }
    for (index, frame) in entry.frames.enumerated() {
      if memcmp(memory + Int(frame) * Page.size, pool.bytes(entry.versions[index]), Page.size) != 0 {
        misuse.append(
          "the buffer of block \(entry.command.block + UInt64(index)) changed while its write was in flight")
      }
    }
  }

  /// Makes a completed write visible and, when it is durable at once, settles it. A failed one may have
  /// written any part; the rest is not in the cache either, which a flush makes durable.
  private func settle(_ entry: InFlight, durably: Bool) {
    guard let place = unsettled.firstIndex(where: { $0.serial == entry.serial }) else { return }
    let start = Int(entry.command.block)
    for (index, version) in entry.versions.enumerated() {
      if entry.errno == 0 || random.chance(50) {
        current[start + index] = version
        unreadable.remove(UInt64(start + index))
      } else {
        unsettled[place].versions[index] = Self.dropped
      }
    }
    unsettled[place].completed = completions
    guard durably, entry.errno == 0 else { return }
    apply(unsettled.remove(at: place))
    let range = entry.command.block..<entry.command.block + UInt64(entry.versions.count)
    for other in unsettled.indices where unsettled[other].completed != nil {
      for index in unsettled[other].versions.indices
      where range.contains(unsettled[other].block + UInt64(index)) {
        unsettled[other].versions[index] = Self.dropped
      }
    }
  }

  private func finishFlush(covers: UInt64) {
    let covered = unsettled.filter { ($0.completed ?? .max) <= covers }
    unsettled.removeAll { ($0.completed ?? .max) <= covers }
    for write in covered.sorted(by: { ($0.completed ?? 0) < ($1.completed ?? 0) }) { apply(write) }
  }

  private func apply(_ write: Unsettled) {
    for (index, version) in write.versions.enumerated() where version != Self.dropped {
      durable.versions[Int(write.block) + index] = version
      durable.unreadable.remove(write.block + UInt64(index))
    }
  }

  private func collectWhenLarge() {
    guard pool.count > collectAt, !pool.isScratch else { return }
    pool.collect(
      live: [durable.versions, current] + unsettled.map(\.versions) + inFlight.map(\.versions))
    collectAt = max(65536, pool.count * 2)
  }

  private static func describe(_ command: BlockCommand) -> String {
    let access = command.forceUnitAccess ? " fua" : ""
    return command.operation == .flush
      ? "flush" : "\(command.operation) \(command.block)+\(command.count)\(access)"
  }
}
