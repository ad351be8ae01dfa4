import FileProtocol
import Format
import Glibc

/// Makes any requests that users can make, several at once, to a filesystem whose replies may be wrong.
struct UntrustedWork {
  private(set) var answers = 0
  /// Replies that were errors about damage.
  private(set) var errors = 0

  private let harness: Harness
  private var random: SeededRandom
  private var nodes: [UInt64] = [1]
  private var directories: [UInt64] = [1]
  private var cookies: [UInt64] = [0]
  private var names: [[UInt8]]

  /// Nodes kept for later requests, at most, so that most are used more than once.
  private static let nodeLimit = 64
  /// Names in a filesystem of `RichDisk`.
  private static let firstNames =
    ["many", "deep", "log", "direct", "tree", "sparse", "holes", "promised", "cut", "short", "long", "leaf"]
    + ["moved", "link", "level-0", "level-1", "hard-0", "hard-80", "hard-160"]
    + (0..<12).map { "logged-\($0)" } + stride(from: 0, to: 280, by: 8).map { "name-\($0)" }

  init(_ harness: Harness, seed: UInt64) {
    self.harness = harness
    random = SeededRandom(seed, stream: 0x776f726b)
    names = Self.firstNames.map { Array($0.utf8) }
  }

  /// Makes requests, and waits for the last reply.
  /// - Throws: `SimulationFailure` when the filesystem hangs, misuses the disk or takes too long.
  mutating func run(requests: Int) throws {
    var answered: [(Operation, Answer)] = []
    var operations: [Int: Operation] = [:]
    var begun: Operation?
    harness.answered = { slot, answer in
      // The reply may come before `begin` has returned the slot.
      let operation = operations.removeValue(forKey: slot) ?? begun
      begun = nil
      if let operation { answered.append((operation, answer)) }
    }
    defer { harness.answered = nil }
    var left = requests
    while left > 0 || harness.underWay > 0 {
      if left > 0, harness.hasFreeSlot, random.chance(50) {
        left -= 1
        let call = nextCall()
        begun = call.operation
        let slot = try harness.begin(call)
        if let slot, begun != nil { operations[slot] = call.operation }
        begun = nil
        try harness.afterEvent?()
      } else if left == 0 || harness.underWay > 0 {
        try harness.step()
      } else if random.chance(10) {
        try harness.idle(UInt64(random.below(6_000)) * 1_000_000)
      }
      for (operation, answer) in answered { learn(operation, answer) }
      answered.removeAll(keepingCapacity: true)
      if random.chance(2), let node = random.pick(nodes) { try harness.forget(node) }
    }
  }

  private mutating func learn(_ operation: Operation, _ answer: Answer) {
    answers += 1
    if [EIO, ESTALE, EUCLEAN].contains(answer.error) { errors += 1 }
    guard answer.error == 0 else { return }
    let reply = answer.reply
    switch operation {
    case .lookup, .create, .createUnnamed, .mknod, .mkdir, .symlink, .link:
      guard reply.node != 0 else { return }
      Self.keep(reply.node, in: &nodes, &random)
      if reply.attributes.mode & FileType.mask == FileType.directory {
        Self.keep(reply.node, in: &directories, &random)
      }
    case .readdir, .readdirplus:
      if let last = reply.entries.last { Self.keep(last.cookie, in: &cookies, &random) }
      if let name = random.pick(reply.entries)?.name, names.count < 400 { names.append(name) }
    default: break
    }
  }

  private static func keep(_ value: UInt64, in list: inout [UInt64], _ random: inout SeededRandom) {
    if list.count < nodeLimit { return list.append(value) }
    list[1 + random.below(list.count - 1)] = value
  }

  // MARK: Requests

  private mutating func nextCall() -> Call {
    switch random.below(24) {
    case 0..<4: named(.lookup)
    case 4: making()
    case 5: named(random.chance(70) ? .unlink : .rmdir)
    case 6: renaming()
    case 7: named(.link).with { $0.otherNode = node() }
    case 8, 9: reading()
    case 10, 11: writing()
    case 12: changing()
    case 13: allocating()
    case 14: seeking()
    case 15, 16: listing()
    case 17...19: extended()
    case 20: Call(random.pick([.fsync, .fsyncdir, .syncfs, .fsync]) ?? .fsync, node: node())
    case 21: Call(random.pick([.open, .release, .flush, .opendir, .releasedir]) ?? .open, node: node())
    default: Call(random.pick([.getattr, .readlink, .statfs, .getattr]) ?? .getattr, node: node())
    }
  }

  private mutating func node() -> UInt64 { random.pick(nodes) ?? 1 }
  private mutating func directory() -> UInt64 { random.pick(directories) ?? 1 }

  private mutating func name() -> [UInt8] {
    guard random.chance(15) else { return random.pick(names) ?? [97] }
    let name = Array("new-\(random.below(40))".utf8) + Array(repeating: 110, count: random.below(230))
    names.append(name)
    return name
  }

  private mutating func named(_ operation: Operation) -> Call {
    let name = name()
    return Call(operation, node: directory()).with { $0.name = name }
  }

  private mutating func making() -> Call {
    let kinds: [Operation] = [.create, .create, .createUnnamed, .mkdir, .mknod, .symlink]
    let operation = random.pick(kinds) ?? .create
    let target = [UInt8](repeating: 120, count: random.pick([1, 100, 4000]) ?? 1)
    return named(operation).with {
      $0.mode = operation == .mknod ? FileType.fifo | 0o600 : FileType.regular | 0o644
      $0.flags = LinuxFlag.readWrite
      $0.otherName = target
    }
  }

  private mutating func renaming() -> Call {
    let flags = random.pick([0, 0, 0, 1, 2, 4]) ?? 0
    let (target, name) = (directory(), name())
    return named(.rename).with {
      $0.otherNode = target
      $0.otherName = name
      $0.flags = UInt32(flags)
    }
  }

  private mutating func offset() -> UInt64 {
    switch random.below(6) {
    case 0: 0
    case 1: UInt64(random.below(6000))
    case 2: UInt64(random.below(600)) << 12
    case 3: UInt64(random.below(256)) << 20
    case 4: 1 << 42
    default: UInt64(random.below(3 << 20))
    }
  }

  private mutating func reading() -> Call {
    let (offset, length) = (offset(), UInt64(random.number(1...memory)))
    return Call(.read, node: node()).with {
      $0.offset = offset
      $0.length = length
    }
  }

  private var memory: Int { harness.memory.largestTransfer }

  private mutating func writing() -> Call {
    let isWhole = random.chance(40)
    let length = random.chance(60) ? random.number(1...9000) : random.number(1...memory)
    let (offset, write) = (offset(), random.next())
    let flags = random.chance(15) ? LinuxFlag.sync : LinuxFlag.readWrite
    let isDirect = random.chance(10)
    return Call(.write, node: node()).with {
      $0.offset = isWhole ? offset & ~4095 : offset
      $0.payload = Stamp.bytes(
        file: 1, write: write & 0xFFFF, offset: $0.offset,
        count: isWhole ? max(length & ~4095, 4096) : length)
      $0.flags = flags
      $0.isDirect = isDirect
    }
  }

  private mutating func changing() -> Call {
    var change = AttributeChange()
    switch random.below(4) {
    case 0: change.mode = UInt32(random.below(0o7777))
    case 1: change.uid = UInt32(random.below(5))
    default: change.size = random.chance(30) ? 0 : offset()
    }
    return Call(.setattr, node: node()).with { $0.change = change }
  }

  private mutating func allocating() -> Call {
    let mode = random.pick([0, 1, 3, 16, 17, 3]) ?? 0
    let (offset, length) = (offset(), UInt64(random.number(1...2_000_000)))
    return Call(.fallocate, node: node()).with {
      $0.offset = offset
      $0.length = length
      $0.flags = UInt32(mode)
    }
  }

  private mutating func seeking() -> Call {
    let (offset, whence) = (offset(), random.chance(50) ? 3 : 4)
    return Call(.lseek, node: node()).with {
      $0.offset = offset
      $0.flags = UInt32(whence)
    }
  }

  private mutating func listing() -> Call {
    let (cookie, room) = (random.pick(cookies) ?? 0, random.pick([400, 4096, 32768]) ?? 4096)
    return Call(random.chance(50) ? .readdir : .readdirplus, node: directory()).with {
      $0.offset = cookie
      $0.length = UInt64(room)
    }
  }

  private mutating func extended() -> Call {
    let operation: Operation? = random.pick([.setxattr, .setxattr, .getxattr, .listxattr, .removexattr])
    let numbered = "user.number-\(random.below(40))"
    let name = random.pick(["user.small", "user.large", "user.huge", "user.new", numbered])
    let value = [UInt8](repeating: 66, count: random.pick([0, 40, 900, 1200, 9000, 65536]) ?? 40)
    return Call(operation ?? .getxattr, node: node()).with {
      $0.name = Array((name ?? "user.new").utf8)
      $0.otherName = value
      $0.length = 65536
    }
  }
}
