import FileProtocol
import FileSystem
import Format
import Glibc

/// Fills small disks in every way there is, goes on working on them when they are full, cuts the power at any
/// moment, and does it again on the disk that is left.
///
/// Every mount must succeed, every request must be answered within a bounded number of events, synced data
/// must be there, removing and overwriting must never fail for lack of space, and as much as statfs reports
/// as available must be writable.
public final class FillProof {
  /// What a disk is filled with.
  public enum Kind: String, CaseIterable, Sendable {
    case links, names, attributes, maps, data, files
  }

  /// What happened with one disk.
  public struct Outcome: Sendable {
    public var mounts = 0
    public var operations = 0
    /// Requests refused because the disk was full.
    public var refusals = 0
    /// The most events that a request took, and that a mount took.
    public var longestRequest = 0
    public var longestMount = 0
    /// Blocks that the log wrote.
    public var logBlocks: UInt64 = 0

    public init() {}
  }

  /// Events that a request or a mount may take.
  private static let eventLimit = 400_000

  private let kind: Kind
  private let pool = BlockPool()
  private let memory: SimulatedMemory
  private let profile: DiskProfile
  private let seed: UInt64
  private var random: SeededRandom
  private var harness: Harness
  private var outcome = Outcome()

  /// Files that can be overwritten, and how many blocks they have, a stride apart.
  private var files: [(node: UInt64, blocks: UInt64, stride: UInt64)] = []
  /// Names that may be removed.
  private var removable: [String] = []
  /// Synced files that must be found after a crash, and the seed of their contents.
  private var kept: [String: UInt64] = [:]
  private var made = 0
  private var linked: (node: UInt64, links: Int)?
  private var isFull = false

  public init(_ kind: Kind, seed: UInt64) throws {
    self.kind = kind
    self.seed = seed
    random = SeededRandom(seed, stream: 0x66696c6c)
    profile = DiskProfile(seed: seed)
    let megabytes = UInt64(random.pick([35, 40, 64, 64, 100, 128]) ?? 64)
    memory = SimulatedMemory(frameCount: random.pick([2048, 2048, 4096]) ?? 2048, slots: 8)
    let image = try DiskImage.formatted(pool: pool, blockCount: megabytes * 256, seed: seed)
    harness = Self.harness(image, memory, profile, seed, SimulatedClock())
  }

  private static func harness(
    _ image: DiskImage, _ memory: SimulatedMemory, _ profile: DiskProfile, _ seed: UInt64,
    _ clock: SimulatedClock
  ) -> Harness {
    let disk = SimulatedDisk(image, profile: profile, seed: seed)
    disk.segmentGuard = SegmentGuard(image)
    let service = FileSystem.simulated(memory, disk) { $0.commitInterval = 1_000_000_000 }
    return Harness(service: service, disk: disk, memory: memory, seed: seed, clock: clock)
  }

  /// Runs `lives` mounts of one disk; each but the last ends with a power cut.
  public func run(lives: Int) throws -> Outcome {
    for life in 0..<lives {
      try mount()
      try compare()
      try work(rounds: life == 0 ? 100_000 : random.number(10...1500))
      outcome.logBlocks += (harness.service as? FileSystem)?.statistics.logBlocks ?? 0
      let isLast = life == lives - 1
      if isLast {
        try harness.unmount()
        if let fault = ImageReader.fault(harness.disk.image) { throw SimulationFailure(fault) }
        attach(harness.disk.image)
      } else {
        try cutPower()
      }
    }
    try mount()
    try compare()
    try empty()
    return outcome
  }

  // MARK: Lives

  private func mount() throws {
    let start = harness.events
    try harness.mount()
    outcome.mounts += 1
    outcome.longestMount = max(outcome.longestMount, harness.events - start)
    guard harness.events - start < Self.eventLimit else { throw SimulationFailure("the mount took too long") }
  }

  private func cutPower() throws {
    let choice = random.pick(harness.disk.crashChoices(count: 4, &random)) ?? .none
    attach(harness.disk.crashImage(choice))
  }

  private func attach(_ image: DiskImage) {
    harness = Self.harness(image, memory, profile, seed &+ UInt64(outcome.mounts), harness.clock)
    files = []
    linked = nil
    isFull = false
  }

  /// Checks that synced files are there; other files found may be removed from now on.
  private func compare() throws {
    removable = []
    for (name, content) in kept.sorted(by: { $0.key < $1.key }) {
      let found = try ask(Call(.lookup, node: 1, name: name))
      guard found.error == 0, found.reply.node != 0 else { throw SimulationFailure("\(name) is gone") }
      let bytes = try ask(
        Call(.read, node: found.reply.node).with { $0.length = 65536 })
      guard bytes.error == 0, bytes.data == Self.contents(content) else {
        throw SimulationFailure("\(name) has other contents (errno \(bytes.error))")
      }
    }
    removable = try names().filter { kept[$0] == nil }
  }

  private func names() throws -> [String] {
    var names: [String] = []
    var cookie: UInt64 = 0
    while true {
      let entries = try ask(
        Call(.readdir, node: 1).with {
          $0.offset = cookie
          $0.length = 32768
        }
      ).reply.entries
      guard let last = entries.last else { return names.filter { $0 != "." && $0 != ".." } }
      names += entries.map { String(decoding: $0.name, as: UTF8.self) }
      cookie = last.cookie
    }
  }

  private static func contents(_ seed: UInt64) -> [UInt8] {
    var random = SeededRandom(seed, stream: 0x636f6e74)
    let count = random.number(1...12_000)
    let first = random.next()
    return (0..<count).map { UInt8(truncatingIfNeeded: (first &+ UInt64($0)) &* 0x9E37_79B9 >> 11) }
  }

  /// Checks that everything can be removed, and that all space is free then.
  private func empty() throws {
    for name in try names() { try remove(name) }
    for node in harness.lookups.keys.sorted() { try harness.forget(node) }
    try harness.idle(300_000_000_000)
    let space = try ask(Call(.statfs, node: 1)).reply.space
    // The node tables keep their size.
    guard space.free + space.blocks / 100 + 64 >= space.blocks else {
      throw SimulationFailure("emptied, but only \(space.free) of \(space.blocks) blocks are free")
    }
    try harness.unmount()
    if let fault = ImageReader.fault(harness.disk.image) { throw SimulationFailure(fault) }
  }

  // MARK: Work

  /// Works until the disk has been full for a while, or for so many rounds.
  private func work(rounds: Int) throws {
    var left = rounds
    while left > 0 {
      left -= 1
      if isFull {
        isFull = false
        left = min(left, random.number(20...800))
        if random.chance(40) { try removeSome(random.number(1...40)) }
      }
      switch random.below(100) {
      case 0..<70: try fill()
      case 70..<85: try overwrite()
      case 85..<90: try removeSome(1)
      case 90..<96: try keep()
      default: try harness.idle(UInt64(random.below(20)) * 100_000_000)
      }
    }
  }

  private func fill() throws {
    switch kind {
    case .links: try addLinks()
    case .names: try addNames(length: 230)
    case .attributes: try addAttributes()
    case .maps: try addBlocks(count: 1, stride: 257)
    case .data: try addBlocks(count: UInt64(random.number(1...30)), stride: 1)
    case .files: try addBlocks(count: 1, stride: 1)
    }
  }

  private func freshName(_ length: Int = 8) -> String {
    made += 1
    return String(repeating: "n", count: length) + "\(made)"
  }

  private func makeFile(_ name: String) throws -> UInt64? {
    let answer = try ask(
      Call(.create, node: 1, name: name).with {
        $0.mode = FileType.regular | 0o644
        $0.flags = LinuxFlag.readWrite
      })
    guard answer.error == 0 else {
      try noteRefusal(answer.error, blocks: 0, "create")
      return nil
    }
    removable.append(name)
    return answer.reply.node
  }

  private func addLinks() throws {
    if linked.map({ $0.links > 60_000 }) ?? true { linked = try makeFile(freshName()).map { ($0, 1) } }
    guard let target = linked else { return }
    linked?.links += 6
    let names = (0..<6).map { _ in freshName(230) }
    for (name, answer) in zip(
      names,
      try askAll(names.map { name in Call(.link, node: 1, name: name).with { $0.otherNode = target.node } }))
    {
      if answer.error == 0 {
        removable.append(name)
      } else {
        try noteRefusal(answer.error, blocks: 0, "link")
      }
    }
  }

  private func addNames(length: Int) throws {
    let names = (0..<6).map { _ in freshName(length) }
    let calls = names.map { Call(.mknod, node: 1, name: $0).with { $0.mode = FileType.regular | 0o600 } }
    for (name, answer) in zip(names, try askAll(calls)) {
      if answer.error == 0 {
        removable.append(name)
      } else {
        try noteRefusal(answer.error, blocks: 0, "mknod")
      }
    }
  }

  private func addAttributes() throws {
    guard let node = try makeFile(freshName()) else { return }
    for name in ["user.a", "user.b"] {
      let answer = try ask(
        Call(.setxattr, node: node, name: name).with {
          $0.otherName = Array(repeating: 7, count: random.number(1000...3000))
        })
      if answer.error != 0 { try noteRefusal(answer.error, blocks: 0, "setxattr") }
    }
  }

  /// Adds blocks to a file, or makes one.
  private func addBlocks(count: UInt64, stride: UInt64) throws {
    if files.isEmpty || kind == .files || random.chance(kind == .maps ? 1 : 10) {
      guard let node = try makeFile(freshName()) else { return }
      files.append((node, 0, stride))
      if files.count > 200 { files.removeFirst() }
    }
    let index = kind == .maps || kind == .files ? files.count - 1 : random.below(files.count)
    let file = files[index]
    let calls = (0..<count).map { step in
      write(file.node, block: (file.blocks + step) * file.stride)
    }
    for answer in try askAll(calls) where answer.error != 0 {
      try noteRefusal(answer.error, blocks: 1, "write")
    }
    files[index].blocks += count
  }

  private func write(_ node: UInt64, block: UInt64) -> Call {
    Call(.write, node: node).with {
      $0.offset = block * 4096
      $0.flags = LinuxFlag.readWrite
      $0.payload = Array(repeating: UInt8(truncatingIfNeeded: outcome.operations), count: 4096)
    }
  }

  /// Overwrites blocks that exist, which is never refused.
  private func overwrite() throws {
    guard let file = random.pick(files), file.blocks > 0, !isFull else { return }
    let calls = (0..<random.number(1...20)).map { _ in
      write(file.node, block: random.next() % file.blocks * file.stride)
    }
    // An overwrite that hits a hole, left by a refused write, may be refused.
    let space = try ask(Call(.statfs, node: 1)).reply.space
    for answer in try askAll(calls) where answer.error != 0 {
      guard outcome.refusals > 0, answer.error == ENOSPC, space.available < 40 else {
        throw SimulationFailure("an overwrite fails with errno \(answer.error)")
      }
    }
  }

  /// Makes a small file and syncs it: it must be there after any crash.
  private func keep() throws {
    let name = freshName()
    guard let node = try makeFile(name) else { return }
    let content = random.next()
    let written = try ask(
      Call(.write, node: node).with {
        $0.flags = LinuxFlag.readWrite
        $0.payload = Self.contents(content)
      })
    guard written.error == 0 else { return try noteRefusal(written.error, blocks: 3, "write") }
    guard try ask(Call(.fsync, node: node)).error == 0 else { throw SimulationFailure("fsync fails") }
    kept[name] = content
    removable.removeAll { $0 == name }
    if kept.count > 60, let victim = kept.keys.sorted().first { try remove(victim) }
  }

  private func removeSome(_ percent: Int) throws {
    let count = percent == 1 ? 1 : removable.count * percent / 100
    for _ in 0..<count {
      guard !removable.isEmpty else { return }
      let index = random.below(removable.count)
      removable.swapAt(index, removable.count - 1)
      try remove(removable.removeLast())
    }
    if count > 1 { for node in harness.lookups.keys.sorted() where random.chance(50) { try forget(node) } }
  }

  private func forget(_ node: UInt64) throws {
    guard linked?.node != node, !files.contains(where: { $0.node == node }) else { return }
    try harness.forget(node)
  }

  /// Removes a name, which is never refused.
  private func remove(_ name: String) throws {
    kept[name] = nil
    let answer = try ask(Call(.unlink, node: 1, name: name))
    guard answer.error == 0 else { throw SimulationFailure("unlink fails with errno \(answer.error)") }
  }

  private func noteRefusal(_ error: Int32, blocks: UInt64, _ what: String) throws {
    guard error == ENOSPC else {
      let notices = (harness.service as? FileSystem)?.notices ?? []
      throw SimulationFailure("\(what) fails with errno \(error): \(notices)")
    }
    outcome.refusals += 1
    isFull = true
    let space = try ask(Call(.statfs, node: 1)).reply.space
    guard space.available <= blocks + 40 else {
      throw SimulationFailure("\(what) fails with ENOSPC while \(space.available) blocks are available")
    }
  }

  // MARK: Requests

  private func ask(_ call: Call) throws -> Answer { try askAll([call])[0] }

  /// Makes several requests at the same time.
  private func askAll(_ calls: [Call]) throws -> [Answer] {
    var answers: [Answer?] = Array(repeating: nil, count: calls.count)
    var slots: [Int: Int] = [:]
    var starting: Int?
    harness.answered = { slot, answer in
      if let index = slots.removeValue(forKey: slot) {
        answers[index] = answer
      } else if let index = starting {
        answers[index] = answer
        starting = nil
      }
    }
    defer { harness.answered = nil }
    var next = 0
    let start = harness.events
    while next < calls.count || !slots.isEmpty {
      if next < calls.count, harness.hasFreeSlot {
        starting = next
        guard let slot = try harness.begin(calls[next]) else { throw SimulationFailure("no slot is free") }
        if let index = starting { slots[slot] = index }
        starting = nil
        next += 1
      } else {
        try harness.step()
      }
      guard harness.events - start < Self.eventLimit else {
        throw SimulationFailure("\(calls[0].operation) waits for more than \(Self.eventLimit) events")
      }
    }
    outcome.operations += calls.count
    outcome.longestRequest = max(outcome.longestRequest, harness.events - start)
    return answers.compactMap { $0 }
  }
}
