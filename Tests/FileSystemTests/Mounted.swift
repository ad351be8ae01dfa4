import FileProtocol
import FileSystem
import Format
import Testing

@testable import Simulation

/// A filesystem mounted on a simulated disk, with helpers for requests. Nodes are FUSE node ids; the root is
/// 1.
final class Mounted {
  private(set) var harness: Harness
  private let seed: UInt64
  private var memory: SimulatedMemory
  private let options: Options

  /// Makes and mounts a filesystem of `megabytes` MiB.
  init(
    megabytes: UInt64 = 64, frames: Int = 2048, slots: Int = 8, seed: UInt64 = 1,
    options: Options = Options(), profile edit: (inout DiskProfile) -> Void = { _ in }
  ) throws {
    self.seed = seed
    self.options = options
    memory = SimulatedMemory(frameCount: frames, slots: slots)
    let image = try DiskImage.formatted(pool: BlockPool(), blockCount: megabytes * 256, seed: seed)
    var profile = DiskProfile(seed: seed)
    edit(&profile)
    harness = Self.attach(
      SimulatedDisk(image, profile: profile, seed: seed), memory, options, seed, SimulatedClock())
    try harness.mount()
  }

  private static func attach(
    _ disk: SimulatedDisk, _ memory: SimulatedMemory, _ options: Options, _ seed: UInt64,
    _ clock: SimulatedClock
  ) -> Harness {
    let service = FileSystem(
      memory: WorkingMemory(
        base: memory.base, firstFrame: UInt32(memory.firstFrame), frameCount: UInt32(memory.frameCount),
        slots: memory.slots),
      blockCount: disk.blockCount, hasVolatileCache: disk.profile.hasVolatileCache,
      canDiscard: disk.profile.canDiscard, options: options)
    return Harness(service: service, disk: disk, memory: memory, seed: seed, clock: clock)
  }

  /// Unmounts in order and mounts again, with other options if given.
  func remount(_ options: Options? = nil) throws {
    try harness.unmount()
    try mountAgain(harness.disk.image, options)
  }

  /// Unmounts in order, changes the disk, and mounts again.
  func remount(damaging damage: (inout DiskImage) throws -> Void) throws {
    try harness.unmount()
    var image = harness.disk.image
    try damage(&image)
    try mountAgain(image, nil)
  }

  /// Unmounts in order, changes the image under right checksums, and mounts it.
  func remount(editing edit: (inout SealedImage) -> Void) throws {
    try harness.unmount()
    var sealed = try SealedImage(harness.disk.image)
    edit(&sealed)
    try mountAgain(sealed.image, nil)
  }

  /// Cuts the power and mounts again.
  func crash(_ choice: CrashChoice = .none) throws { try mountAgain(harness.disk.crashImage(choice), nil) }

  /// Cuts the power and mounts again, on a disk on which commands fail.
  func crash(_ faults: [DiskFault]) throws {
    try mountAgain(harness.disk.crashImage(.none), nil, faults)
  }

  /// Cuts the power and mounts again with a cache of another size.
  func crash(frames: Int, _ options: Options? = nil) throws {
    let image = harness.disk.crashImage(.none)
    memory = SimulatedMemory(frameCount: frames, slots: memory.slots)
    try mountAgain(image, options)
  }

  /// Cuts the power, makes both copies of the newest checkpoint unreadable, and mounts again.
  func crashWithoutNewestCheckpoint() throws {
    try mountAgain(try #require(harness.disk.crashImage(.none).withoutNewestCheckpoint()), nil)
  }

  /// Mounts an image instead.
  func mountAgain(_ image: DiskImage, _ options: Options?, _ faults: [DiskFault] = []) throws {
    let disk = SimulatedDisk(image, profile: harness.disk.profile, seed: seed)
    disk.faults = faults
    harness = Self.attach(disk, memory, options ?? self.options, seed, harness.clock)
    try harness.mount()
  }

  var fileSystem: FileSystem? { harness.service as? FileSystem }

  // MARK: Requests

  @discardableResult
  func call(_ call: Call) throws -> Answer { try harness.call(call) }

  /// The node of a name; nil when there is none.
  func find(_ name: String, in parent: UInt64 = 1) throws -> UInt64? {
    let answer = try call(Call(.lookup, node: parent, name: name))
    return answer.error == 0 && answer.reply.node != 0 ? answer.reply.node : nil
  }

  /// The node of a path below the root.
  func path(_ path: String) throws -> UInt64 {
    var node: UInt64 = 1
    for name in path.split(separator: "/") { node = try #require(try find(String(name), in: node)) }
    return node
  }

  func makeFile(_ name: String, in parent: UInt64 = 1, mode: UInt32 = 0o644) throws -> UInt64 {
    let answer = try call(
      Call(.create, node: parent, name: name).with {
        $0.mode = FileType.regular | mode
        $0.flags = LinuxFlag.readWrite
      })
    try #require(answer.error == 0, "create \(name): errno \(answer.error)")
    return answer.reply.node
  }

  func makeDirectory(_ name: String, in parent: UInt64 = 1, mode: UInt32 = 0o755) throws -> UInt64 {
    let answer = try call(
      Call(.mkdir, node: parent, name: name).with { $0.mode = FileType.directory | mode })
    try #require(answer.error == 0, "mkdir \(name): errno \(answer.error)")
    return answer.reply.node
  }

  /// Writes; returns the errno.
  @discardableResult
  func write(_ node: UInt64, _ bytes: [UInt8], at offset: UInt64 = 0, uid: UInt32 = 0) throws -> Int32 {
    var done = 0
    while done < bytes.count {
      let part = Array(bytes[done..<min(bytes.count, done + memory.largestTransfer)])
      let answer = try call(
        Call(.write, node: node).with {
          $0.offset = offset + UInt64(done)
          $0.uid = uid
          $0.payload = part
          $0.flags = LinuxFlag.readWrite
        })
      guard answer.error == 0 else { return answer.error }
      done += Int(answer.reply.count)
    }
    return 0
  }

  /// Reads up to `count` bytes.
  func read(_ node: UInt64, at offset: UInt64 = 0, count: Int) throws -> [UInt8] {
    var bytes: [UInt8] = []
    while bytes.count < count {
      let answer = try call(
        Call(.read, node: node).with {
          $0.offset = offset + UInt64(bytes.count)
          $0.length = UInt64(min(count - bytes.count, memory.largestTransfer))
        })
      try #require(answer.error == 0, "read: errno \(answer.error)")
      guard !answer.data.isEmpty else { break }
      bytes += answer.data
    }
    return bytes
  }

  func attributes(_ node: UInt64) throws -> Attributes {
    let answer = try call(Call(.getattr, node: node))
    try #require(answer.error == 0, "getattr: errno \(answer.error)")
    return answer.reply.attributes
  }

  @discardableResult
  func change(_ node: UInt64, uid: UInt32 = 0, _ change: AttributeChange) throws -> Int32 {
    try call(
      Call(.setattr, node: node).with {
        $0.change = change
        $0.uid = uid
      }
    ).error
  }

  /// fallocate(2); returns the errno.
  func allocate(_ node: UInt64, _ mode: UInt32, _ offset: UInt64, _ length: UInt64) throws -> Int32 {
    try call(
      Call(.fallocate, node: node).with {
        $0.flags = mode
        $0.offset = offset
        $0.length = length
      }
    ).error
  }

  @discardableResult
  func sync(_ node: UInt64) throws -> Int32 { try call(Call(.fsync, node: node)).error }

  @discardableResult
  func unlink(_ name: String, in parent: UInt64 = 1) throws -> Int32 {
    try call(Call(.unlink, node: parent, name: name)).error
  }

  @discardableResult
  func rename(
    _ name: String, in parent: UInt64 = 1, to newName: String, under newParent: UInt64 = 1, flags: UInt32 = 0
  ) throws -> Int32 {
    try call(
      Call(.rename, node: parent, name: name).with {
        $0.otherNode = newParent
        $0.otherName = Array(newName.utf8)
        $0.flags = flags
      }
    ).error
  }

  /// The names of a directory without "." and "..", as readdir gives them in pieces of `room` bytes.
  func list(_ node: UInt64 = 1, room: UInt64 = 4096) throws -> [String] {
    var names: [String] = []
    var cookie: UInt64 = 0
    while true {
      let entries = try entries(node, after: cookie, room: room)
      guard let last = entries.last else { break }
      names += entries.map { String(decoding: $0.name, as: UTF8.self) }
      cookie = last.cookie
    }
    return names.filter { $0 != "." && $0 != ".." }
  }

  func entries(_ node: UInt64, after cookie: UInt64, room: UInt64 = 4096) throws -> [DirectoryEntry] {
    let answer = try call(
      Call(.readdir, node: node).with {
        $0.offset = cookie
        $0.length = room
      })
    try #require(answer.error == 0, "readdir: errno \(answer.error)")
    return answer.reply.entries
  }

  var space: SpaceReport {
    get throws { try call(Call(.statfs, node: 1)).reply.space }
  }

  /// Unmounts in order and has the image checked.
  func expectClean() throws {
    try harness.unmount()
    #expect(ImageReader.fault(harness.disk.image) == nil)
  }

  /// Lets background work finish: commits, freeing, cleaning.
  func settle() throws { try harness.idle(60_000_000_000) }
}

/// `count` bytes that differ by seed and place.
func pattern(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
  var random = SeededRandom(seed)
  return [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
    while filled < count {
      buffer[filled] = UInt8(truncatingIfNeeded: random.next() >> 24)
      filled += 1
    }
  }
}
