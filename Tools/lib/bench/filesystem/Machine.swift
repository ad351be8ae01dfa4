import Block
import BlockProtocol
import EmulatedController
import FileProtocol
import FileSystem
import Format
import NVMe
import PCI
import Reactor

/// A filesystem on an emulated controller whose medium is memory, served by a reactor: what the daemon runs,
/// without the kernel.
final class Machine {
  static let slots = 64
  private static let megabytes = 512
  private static let cacheFrames = 16384

  let requests: RequestSource
  private let reactor: Reactor

  /// Makes and mounts a filesystem.
  init() throws {
    let layout = SlotLayout(count: Self.slots)
    let arena = try DMAArena(frames: layout.frameCount + Self.cacheFrames)
    var configuration = EmulatedController.Configuration(
      namespaces: [.init(.memory(bytes: Self.megabytes << 20))])
    configuration.mode = .stepped
    let controller = try Controller.open(EmulatedController(configuration, name: "bench"))
    let device = try NamespaceDevice(controller: controller, namespace: 1, arena: arena)
    try Self.format(device)
    let service = FileSystem(
      memory: WorkingMemory(
        base: arena.base, firstFrame: UInt32(layout.frameCount), frameCount: UInt32(Self.cacheFrames),
        slots: layout.count),
      blockCount: device.blockCount, hasVolatileCache: device.hasVolatileCache, canDiscard: device.canDiscard,
      options: Options())
    reactor = try Reactor(service: service, device: device, slots: layout)
    try reactor.start()
    requests = RequestSource(reactor)
  }

  private static func format(_ device: NamespaceDevice) throws {
    let superblock = Superblock(
      uuid: Array(1...16), nonce: Nonce(high: 1, low: 2), label: [],
      geometry: try Geometry.fitting(blockCount: device.blockCount), created: 0, hashKey: (3, 4))
    let writer = SynchronousDevice(device)
    try Formatter(superblock).emit(owner: (0, 0)) { block, bytes, _ throws(BlockDeviceError) in
      try writer.write(block: block, bytes)
    }
    try writer.flush()
  }
}
