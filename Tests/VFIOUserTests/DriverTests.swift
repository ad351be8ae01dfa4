import Block
import BlockProtocol
import CMachine
import EmulatedController
import Foundation
import Glibc
import NVMe
import PCI
import PCIHost
import TestSupport
import Testing
import VFIOUserServer
@testable import VFIOUser

/// The driver at a server, with shared memory and doorbells, or by messages alone; and at an external server,
/// where `VARVE_VFIO_USER` names its socket. The external server's namespace 1 is overwritten; it has to be
/// as large as that of these tests.
@Suite(.serialized, .oneAtATime) struct DriverTests {
  enum Way: CaseIterable {
    /// Doorbells in shared memory.
    case mapped
    /// The server offers them, the client does not map them.
    case clientByMessage
    /// The server offers nothing to map.
    case serverByMessage
    /// Nothing to map either, but shadow doorbells, so that few messages are needed.
    case serverByShadow
    /// Neither doorbells nor memory are shared: every byte is sent through the socket.
    case allByMessage
    /// An external server.
    case external

    static let socket = ProcessInfo.processInfo.environment["VARVE_VFIO_USER"]
    static var available: [Way] { allCases.filter { $0 != .external || socket != nil } }

    var options: ServerOptions {
      [.serverByMessage, .serverByShadow].contains(self) ? RunningServer.withoutMapping : ServerOptions()
    }
  }

  private func open(_ way: Way, _ server: RunningServer?) throws -> NamespaceDevice {
    let function = try VFIOUserFunction(
      socket: try #require(server?.path ?? Way.socket), mapsRegions: way != .clientByMessage,
      sharesMemory: way != .allByMessage)
    let controller = try Controller.open(function)
    return try NamespaceDevice(controller: controller, namespace: 1, arenaFrames: 256)
  }

  /// A server for `way`; nil for the external one.
  private func serve(
    _ way: Way, _ configure: (inout EmulatedController.Configuration) -> Void = { _ in }
  ) throws -> RunningServer? {
    guard way != .external else { return nil }
    return try RunningServer(way.options) {
      // Shadow doorbells in remote memory are refused.
      $0.shadowDoorbells = [.serverByShadow, .allByMessage].contains(way)
      configure(&$0)
    }
  }

  @Test(arguments: Way.available) func readsBackWhatItWrote(way: Way) throws {
    let server = try serve(way)
    let device = SynchronousDevice(try open(way, server))
    defer { device.close() }
    var random = SplitMix(seed: 5)
    var model = [UInt8](repeating: 0, count: RunningServer.blocks * 4096)
    try device.write(block: 0, model)
    for _ in 0..<24 {
      let count = Int(random.next() % 80) + 1
      let block = Int(random.next() % UInt64(RunningServer.blocks - count))
      let range = block * 4096..<(block + count) * 4096
      if random.next() & 1 == 0 {
        let bytes = random.bytes(count * 4096)
        try device.write(block: UInt64(block), bytes)
        model.replaceSubrange(range, with: bytes)
      } else {
        #expect(try device.read(block: UInt64(block), count: count) == Array(model[range]))
      }
    }
    try device.flush()
  }

  @Test(arguments: Way.available) func comesUpAgainAfterAnOrderlyEnd(way: Way) throws {
    let server = try serve(way)
    for round in 0..<4 {
      let device = SynchronousDevice(try open(way, server))
      if round > 0 { #expect(try device.read(block: 9, count: 1).allSatisfy { $0 == UInt8(round - 1) }) }
      try device.write(block: 9, [UInt8](repeating: UInt8(round), count: 4096))
      device.close()
    }
  }

  @Test(arguments: Way.available) func survivesAControllerReset(way: Way) throws {
    let server = try serve(way)
    let opened = try open(way, server)
    let device = SynchronousDevice(opened)
    defer { device.close() }
    try device.write(block: 1, [UInt8](repeating: 7, count: 4096))
    opened.controller.reset()
    #expect(try device.read(block: 1, count: 1).allSatisfy { $0 == 7 })
    #expect(opened.controller.counters.resets == 1)
  }

  @Test func resetsTheFunction() throws {
    let server = try RunningServer()
    let function = try VFIOUserFunction(socket: server.path)
    defer { function.close() }
    let registers = try function.openBAR(0)
    registers.store32(0x1f_001f, at: 0x24)
    #expect(registers.load32(at: 0x24) == 0x1f_001f)
    try function.reset()
    #expect(registers.load32(at: 0x24) == 0)
  }

  /// Interrupts arrive at eventfds of this process.
  @Test(arguments: Way.available) func sleepsUntilAnInterrupt(way: Way) throws {
    let server = try serve(way) { $0.latency = 2_000_000 }
    let device = try open(way, server)
    defer { device.close() }
    let frame: UInt32 = 0
    let isTaken = withUnsafePointer(to: frame) {
      device.submit(BlockCommand(.read, block: 3, count: 1, frames: $0, tag: 9))
    }
    #expect(isTaken)
    device.ring()
    var done: [BlockCompletion] = []
    let descriptor = try #require(device.interruptDescriptor)
    for _ in 0..<100 where done.isEmpty {
      if device.prepareToSleep() {
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        poll(&entry, 1, 1000)
      }
      device.poll(&done, limit: 8)
    }
    #expect(done.map(\.tag) == [9] && done.map(\.errno) == [0])
  }

  /// I/O that would block is done by a worker thread of the server, and completes with an interrupt too.
  @Test func completesTheWorkOfAThread() throws {
    let path = RunningServer.freshPath() + ".img"
    close(Glibc.open(path, O_CREAT | O_RDWR, 0o600))
    #expect(truncate(path, 64 << 20) == 0)
    defer { unlink(path) }
    let server = try RunningServer { $0.namespaces = [.init(.image(path: path))] }
    let device = SynchronousDevice(try open(.mapped, server))
    defer { device.close() }
    for round in 0..<20 {
      try device.write(block: UInt64(round), [UInt8](repeating: 1, count: 300 << 10))
      try device.flush()
      try device.discard(block: UInt64(round), count: 32)
    }
  }

  @Test func hasTheCapabilitiesOfAnNVMeFunction() throws {
    let server = try RunningServer()
    let function = try VFIOUserFunction(socket: server.path)
    defer { function.close() }
    #expect(function.readConfiguration(at: 8, width: 4) >> 8 == FunctionInfo.nvmeClass)
    var offset = Int(function.readConfiguration(at: 0x34, width: 1))
    var found: Set<UInt32> = []
    while offset != 0, found.count < 16 {
      found.insert(function.readConfiguration(at: offset, width: 1))
      offset = Int(function.readConfiguration(at: offset + 1, width: 1))
    }
    #expect(found == [0x01, 0x10, 0x11])
    // The sizes of BAR 0 and BAR 4, probed as firmware does.
    for (register, bar) in [(0x10, 0), (0x20, 4)] {
      function.writeConfiguration(.max, at: register, width: 4)
      let mask = function.readConfiguration(at: register, width: 4) & ~0xf
      #expect(try function.openBAR(bar).size == Int(~mask) + 1)
    }
    #expect(throws: FunctionError.self) { try function.openBAR(2) }
    #expect(function.readConfiguration(at: 4096, width: 1) == .max)
  }

  /// A second client gets the error that another client is served; once that has disconnected it is served.
  @Test func servesOneClientAtATime() throws {
    let server = try RunningServer()
    let first = try VFIOUserFunction(socket: server.path)
    let refused = #expect(throws: FunctionError.self) { try VFIOUserFunction(socket: server.path) }
    #expect(refused?.errno == EBUSY)
    first.close()
    try VFIOUserFunction(socket: server.path).close()
  }
}
