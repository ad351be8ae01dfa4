import Format

/// Which writes that are not durable a power cut leaves.
public enum CrashChoice: Sendable, Equatable, CustomStringConvertible {
  /// Every submitted write reached the medium.
  case all
  /// Nothing did.
  case none
  /// The first `count` writes, in the order of submission.
  case prefix(Int)
  /// All but the write at an index.
  case allBut(Int)
  /// The write at an index alone.
  case only(Int)
  /// Each write, block and sector as the seed chooses.
  case random(UInt64)

  public var description: String {
    switch self {
    case .all: "all"
    case .none: "none"
    case .prefix(let count): "prefix \(count)"
    case .allBut(let index): "all but \(index)"
    case .only(let index): "only \(index)"
    case .random(let seed): "random \(String(seed, radix: 16))"
    }
  }
}

extension SimulatedDisk {
  /// How many writes and discards a power cut could undo now.
  public var unsettledCount: Int { unsettled.count }

  /// The disk after a power cut now. The versions that it adds to the pool stay until the enclosing `scratch`
  /// ends.
  public func crashImage(_ choice: CrashChoice) -> DiskImage {
    var image = durable
    switch choice {
    case .random(let seed):
      var random = SeededRandom(seed, stream: 0x63726173)
      applyRandomly(to: &image, &random)
    default:
      for (index, write) in unsettled.enumerated() where choice.keeps(index) {
        Self.apply(write, to: &image)
      }
    }
    return image
  }

  /// Ways to cut the power now: all of the systematic ones when they are few enough, and random ones, at most
  /// `count`.
  public func crashChoices(count: Int, _ random: inout SeededRandom) -> [CrashChoice] {
    guard unsettledCount > 0 else { return [.none] }
    var systematic: [CrashChoice] = []
    for index in 0..<unsettledCount {
      if index > 0 { systematic.append(.prefix(index)) }
      if unsettledCount > 1 { systematic.append(.allBut(index)) }
      if unsettledCount > 2 { systematic.append(.only(index)) }
    }
    systematic.shuffle(using: &random)
    var choices: [CrashChoice] = [.all, .none]
    choices += systematic.prefix(max(0, (count - 2) / 2))
    while choices.count < count { choices.append(.random(random.next())) }
    return Array(choices.prefix(count))
  }

  private static func apply(_ write: Unsettled, to image: inout DiskImage) {
    for (index, version) in write.versions.enumerated() where version != dropped {
      image.versions[Int(write.block) + index] = version
      image.unreadable.remove(write.block + UInt64(index))
    }
  }

  /// Applies any subset of the unsettled writes, some of them torn, as a disk writes back its cache in any
  /// order.
  private func applyRandomly(to image: inout DiskImage, _ random: inout SeededRandom) {
    let keep = random.pick([10, 50, 80, 95]) ?? 50
    let tear = random.pick([0, 0, 10, 50]) ?? 0
    let spoil = random.chance(10) ? 20 : 0
    var order = Array(unsettled.indices)
    let settledOrder = order.filter { unsettled[$0].completed != nil }
    if settledOrder.count < order.count, random.chance(30) {
      order = settledOrder + order.filter { unsettled[$0].completed == nil }.shuffled(using: &random)
    }
    for index in order {
      let write = unsettled[index]
      let whole = random.chance(60)
      let kept = random.chance(keep)
      for (offset, version) in write.versions.enumerated() where version != Self.dropped {
        guard whole ? kept : random.chance(keep) else { continue }
        let block = write.block + UInt64(offset)
        guard random.chance(tear) else {
          image.versions[Int(block)] = version
          image.unreadable.remove(block)
          continue
        }
        if random.chance(spoil) {
          image.unreadable.insert(block)
        } else {
          image.versions[Int(block)] = torn(image.versions[Int(block)], version, &random)
        }
      }
    }
  }

  /// A block of which only some logical blocks were written.
  private func torn(_ old: UInt32, _ new: UInt32, _ random: inout SeededRandom) -> UInt32 {
    let sectors = Page.size / profile.logicalBlock
    guard sectors > 1 else { return random.chance(50) ? old : new }
    let version = pool.add(pool.bytes(old))
    let limit = random.chance(50) ? random.below(sectors + 1) : sectors
    for sector in 0..<limit where limit < sectors || random.chance(50) {
      let offset = sector * profile.logicalBlock
      (pool.bytes(version) + offset).copyMemory(
        from: pool.bytes(new) + offset, byteCount: profile.logicalBlock)
    }
    return version
  }
}

extension CrashChoice {
  fileprivate func keeps(_ index: Int) -> Bool {
    switch self {
    case .all: true
    case .none, .random: false
    case .prefix(let count): index < count
    case .allBut(let excluded): index != excluded
    case .only(let included): index == included
    }
  }
}
