import Block
import BlockProtocol
import CMachine
import Foundation
import Glibc
import NVMe
import PCIHost
import TestSupport
import Testing
@testable import VFIO

/// The driver on QEMU's controller, through VFIO, which the guest's tests run with several configurations.
/// Namespace 1 is overwritten, so they run only when selected by name.
@Suite(.serialized, .enabled(if: ProcessInfo.processInfo.environment["VARVE_GUEST_TEST"] == "driver"))
struct DriverTests {
  private func open() throws -> NamespaceDevice {
    let info = try #require(Discovery.functions().first { $0.isBoundToVFIO })
    let controller = try Controller.open(try VFIOFunction(at: info.address))
    return try NamespaceDevice(controller: controller, namespace: 1, arenaFrames: 1024)
  }

  @Test func identifiesTheController() throws {
    let device = try open()
    defer { device.close() }
    #expect(device.controller.state == .ready)
    #expect(device.controller.identity.serialNumber.contains("VARVE-GUEST"))
    // QEMU takes the space of the metadata from the image, and rounds down.
    let metadata = Int(try #require(device.namespace.lbasPerFrame)) * device.namespace.metadataSize
    #expect((0..<256).contains((1 << 30) / (4096 + metadata) - Int(device.blockCount)))
    #expect(device.interruptDescriptor != nil)
    #expect(device.removalDescriptor != nil)
  }

  @Test func comesUpAgainAfterAnOrderlyEnd() throws {
    for round in 0..<5 {
      let device = SynchronousDevice(try open())
      defer { device.close() }
      if round > 0 { #expect(try device.read(block: 9, count: 1) == pattern(of: 9, seed: UInt64(round - 1))) }
      try device.write(block: 9, pattern(of: 9, seed: UInt64(round)))
    }
  }

  /// Lengths around the limits of PRP1, PRP2, one list page, several, and MDTS.
  @Test(arguments: [1, 2, 3, 31, 32, 33, 128, 129, 255, 256, 700]) func readsBackWhatItWrote(count: Int)
    throws
  {
    let device = SynchronousDevice(try open())
    defer { device.close() }
    let first = UInt64(count) * 251
    let bytes = (0..<UInt64(count)).flatMap { pattern(of: first + $0, seed: 7) }
    try device.write(block: first, bytes)
    try device.flush()
    #expect(try device.read(block: first, count: count) == bytes)
    // A part of it, from the middle.
    let middle = count / 2
    #expect(
      try device.read(block: first + UInt64(middle), count: 1) == pattern(of: first + UInt64(middle), seed: 7)
    )
  }

  /// After a reset too: the buffer gets its address again, and the queue is created in it again.
  @Test func commandsLieInTheControllersMemoryWhereItOffersSome() throws {
    let device = try open()
    let driver = SynchronousDevice(device)
    defer { device.close() }
    let isOffered = device.controller.registerCapabilities.memoryBufferSupported
    for round in UInt64(0)..<3 {
      let bytes = (0..<UInt64(300)).flatMap { pattern(of: $0, seed: round) }
      for block in 0..<300 {
        try driver.write(block: UInt64(block), Array(bytes[block * 4096..<(block + 1) * 4096]))
      }
      #expect(try driver.read(block: 0, count: 300) == bytes)
      device.controller.reset()
      #expect(try driver.read(block: 0, count: 300) == bytes)
    }
    #expect((device.counters.bufferedCommands >= device.counters.submitted) == isOffered)
    #expect((device.controller.memoryBufferUsed > 0) == isOffered)
    #expect(device.controller.counters.resets == 3 && device.errors.isEmpty)
  }

  @Test func verifiesAndCompares() throws {
    let device = try open()
    let driver = SynchronousDevice(device)
    defer { device.close() }
    // QEMU's controller has no Verify, so blocks are read.
    #expect(device.canCompare == (device.namespace.protection?.isStripped != true))
    var bytes = (0..<UInt64(300)).flatMap { pattern(of: $0, seed: 11) }
    try driver.write(block: 2000, bytes)
    try driver.verify(block: 2000, count: 300)
    guard device.canCompare else { return }
    #expect(try driver.compare(block: 2000, bytes))
    bytes[777_777] ^= 4
    #expect(try !driver.compare(block: 2000, bytes))
    #expect(device.errors.map(\.status.code) == [.compareFailure])
  }

  @Test func zeroesAndDiscards() throws {
    let device = SynchronousDevice(try open())
    defer { device.close() }
    let bytes = (100..<400).flatMap { pattern(of: $0, seed: 1) }
    try device.write(block: 100, bytes, forceUnitAccess: true)
    try device.writeZeroes(block: 150, count: 100)
    #expect(try device.read(block: 150, count: 100).allSatisfy { $0 == 0 })
    #expect(try device.read(block: 149, count: 1) == pattern(of: 149, seed: 1))
    #expect(try device.read(block: 250, count: 1) == pattern(of: 250, seed: 1))
    try device.discard(block: 260, count: 40)
    #expect(try device.read(block: 259, count: 1) == pattern(of: 259, seed: 1))
    #expect(try device.read(block: 300, count: 1) == pattern(of: 300, seed: 1))
  }

  @Test func refusesBlocksBeyondTheEnd() throws {
    let device = SynchronousDevice(try open())
    defer { device.close() }
    #expect(throws: BlockDeviceError.self) { try device.read(block: device.blockCount, count: 1) }
    #expect(try device.read(block: device.blockCount - 1, count: 1).count == 4096)
  }

  /// Many commands at once, of scattered frames, with sleeps on the interrupt between: each completes once,
  /// with its own data.
  @Test func keepsManyCommandsApart() throws {
    let device = try open()
    defer { device.close() }
    let commands = 100
    let blocks = 5
    // Frames in an order in which no two neighbours are adjacent.
    let frames = (0..<commands * blocks).map { UInt32($0 * 389 % (commands * blocks)) }
    try frames.withUnsafeBufferPointer { frames in
      let list = try #require(frames.baseAddress)
      for (index, frame) in frames.enumerated() {
        device.arena.pointer(frame).copyMemory(from: pattern(of: UInt64(index), seed: 3), byteCount: 4096)
      }
      #expect(run(device, .write, list, commands, blocks) == Set(0..<UInt64(commands)))
      for frame in frames { memset(device.arena.pointer(frame), 0, 4096) }
      #expect(run(device, .read, list, commands, blocks) == Set(0..<UInt64(commands)))
      for (index, frame) in frames.enumerated() {
        let found = UnsafeRawBufferPointer(start: device.arena.pointer(frame), count: 4096)
        #expect(found.elementsEqual(pattern(of: UInt64(index), seed: 3)), "block \(index)")
      }
    }
  }

  /// Runs `commands` commands of `blocks` blocks each and returns the tags of the successful ones.
  private func run(
    _ device: NamespaceDevice, _ operation: BlockCommand.Operation, _ frames: UnsafePointer<UInt32>,
    _ commands: Int,
    _ blocks: Int
  ) -> Set<UInt64> {
    var done: [BlockCompletion] = []
    var next = 0
    let deadline = cm_monotonic_ns() + 60_000_000_000
    while done.count < commands, cm_monotonic_ns() < deadline {
      while next < commands {
        let command = BlockCommand(
          operation, block: UInt64(next * blocks), count: UInt32(blocks), frames: frames + next * blocks,
          tag: UInt64(next))
        guard device.submit(command) else { break }
        next += 1
      }
      device.ring()
      let before = done.count
      device.poll(&done, limit: 64)
      if done.count == before, device.prepareToSleep(), let descriptor = device.interruptDescriptor {
        var wait = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        poll(&wait, 1, 1_000)
      }
    }
    #expect(done.count == commands)
    return Set(done.filter { $0.errno == 0 }.map(\.tag))
  }

  /// The content of block `number` in the round `seed`.
  private func pattern(of number: UInt64, seed: UInt64) -> [UInt8] {
    var random = SplitMix(seed: number &* 0x1_0001 &+ seed)
    return random.bytes(4096)
  }
}
