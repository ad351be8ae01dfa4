import Block
import CMachine
import EmulatedController
import Foundation
import Glibc
import NVMe
import PCI
import TestSupport
import Testing
import VFIOUserServer

@testable import VFIOUser

/// A server that ends and is restarted while it is used.
@Suite(.serialized, .oneAtATime) struct ReturnTests {
  private let path = RunningServer.freshPath()
  private let image = RunningServer.freshPath() + ".img"

  private func serve(
    _ options: ServerOptions = ServerOptions(),
    _ configure: (inout EmulatedController.Configuration) -> Void = { _ in }
  ) throws -> RunningServer {
    close(Glibc.open(image, O_CREAT | O_RDWR, 0o600))
    truncate(image, RunningServer.blocks * 4096)
    // The thread of a former server may not have closed its socket yet.
    let limit = cm_monotonic_ns() + 10_000_000_000
    while access(path, F_OK) == 0, cm_monotonic_ns() < limit { usleep(1000) }
    return try RunningServer(options, at: path) {
      $0.namespaces = [.init(.image(path: image))]
      configure(&$0)
    }
  }

  private func open(sharesMemory: Bool = true, timeout: UInt64 = 20_000_000_000) throws -> NamespaceDevice {
    var options = ControllerOptions()
    options.watchInterval = 20_000_000
    options.offlineTimeout = timeout
    let controller = try Controller.open(
      try VFIOUserFunction(socket: path, sharesMemory: sharesMemory), options: options)
    return try NamespaceDevice(controller: controller, namespace: 1, arenaFrames: 64)
  }

  private func errno(_ body: () throws -> Void) -> Int32 {
    do {
      try body()
      return 0
    } catch { return (error as? BlockDeviceError)?.errno ?? -1 }
  }

  private func pattern(_ byte: Int) -> [UInt8] {
    [UInt8](repeating: UInt8(truncatingIfNeeded: byte), count: 4096)
  }

  @Test(
    "Work continues at a restarted server",
    arguments: [(true, true), (false, true), (false, false)])
  func goesOn(sharesDoorbells: Bool, sharesMemory: Bool) throws {
    defer { unlink(image) }
    let options = sharesDoorbells ? ServerOptions() : RunningServer.withoutMapping
    var server: RunningServer? = try serve(options)
    let namespace = try open(sharesMemory: sharesMemory)
    let device = SynchronousDevice(namespace)
    for round in 0..<4 {
      for number in 0..<50 { try device.write(block: UInt64(number), pattern(round * 50 + number)) }
      server?.stop()
      server = nil
      let ready = DispatchSemaphore(value: 0)
      let box = ServerBox()
      Thread.detachNewThread { [self] in
        usleep(useconds_t(round * 100_000))
        box.server = try? serve(options)
        ready.signal()
      }
      #expect(errno { try device.write(block: 60, pattern(round)) } == 0)
      #expect(errno { try device.flush() } == 0)
      ready.wait()
      server = box.server
      #expect(server != nil)
      for number in 0..<50 {
        #expect(try device.read(block: UInt64(number), count: 1) == pattern(round * 50 + number))
      }
    }
    #expect(namespace.controller.cacheLosses == 4 && namespace.loss == nil)
    device.device.close()
    server?.stop()
  }

  @Test("A server that lost flushed data is detected, and not written to any more", arguments: [false, true])
  func empty(isForced: Bool) throws {
    defer { unlink(image) }
    var server: RunningServer? = try serve()
    let namespace = try open()
    let device = SynchronousDevice(namespace)
    try device.write(block: 7, pattern(5))
    try device.flush()
    server?.stop()
    server = nil
    truncate(image, 0)
    let again = try serve()
    #expect(errno { try device.write(block: 8, pattern(6), forceUnitAccess: isForced) } == EIO)
    #expect(errno { try device.flush() } == EIO)
    #expect(errno { try device.write(block: 9, pattern(6)) } == EIO)
    #expect(errno { _ = try device.read(block: 8, count: 1) } == 0)
    #expect(namespace.loss == "block 7")
    device.device.close()
    again.stop()
  }

  @Test("Another controller at the same socket is not used")
  func another() throws {
    defer { unlink(image) }
    var server: RunningServer? = try serve { $0.serialNumber = "ONE" }
    let device = SynchronousDevice(try open())
    try device.write(block: 7, pattern(5))
    server?.stop()
    server = nil
    let again = try serve { $0.serialNumber = "TWO" }
    #expect(errno { try device.write(block: 8, pattern(6)) } == ENODEV)
    #expect(errno { _ = try device.read(block: 7, count: 1) } == ENODEV)
    device.device.close()
    again.stop()
  }

  @Test("A server that does not come back is waited for no longer than the timeout")
  func never() throws {
    defer { unlink(image) }
    var server: RunningServer? = try serve()
    let device = SynchronousDevice(try open(timeout: 300_000_000))
    server?.stop()
    server = nil
    let start = cm_monotonic_ns()
    #expect(errno { try device.write(block: 8, pattern(6)) } == ENODEV)
    let waited = cm_monotonic_ns() - start
    #expect(waited > 250_000_000 && waited < 10_000_000_000)
    device.device.close()
  }

  @Test("Memory is not shared with a new server while the former process has it")
  func stillThere() throws {
    let server = try RunningServer()
    let descriptor = SocketAddress.makeSocket()
    #expect(SocketAddress(server.path)?.connect(descriptor) == 0)
    let process = ServerProcess(behind: MessageSocket(owning: descriptor))
    let (identifier, canBeWatched, hasEnded) = (process.identifier, process.canBeWatched, process.hasEnded)
    #expect(identifier == getpid() && canBeWatched && !hasEnded)
    server.stop()
  }
}

/// A server that another thread starts.
private final class ServerBox: @unchecked Sendable {
  var server: RunningServer?
}
