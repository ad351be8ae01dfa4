import Block
import BlockProtocol
import CMachine
import EmulatedController
import Glibc
import NVMe
import PCI
import Testing
@testable import VFIOUser
@testable import VFIOUserServer

/// Either side disconnecting in the middle.
@Suite(.serialized, .oneAtATime) struct EndTests {
  private func open(_ path: String) throws -> NamespaceDevice {
    var options = ControllerOptions()
    options.watchInterval = 50_000_000
    let controller = try Controller.open(try VFIOUserFunction(socket: path), options: options)
    return try NamespaceDevice(controller: controller, namespace: 1, arenaFrames: 64)
  }

  /// Commands in flight when the server ends all end with ENODEV, and so do later ones.
  @Test(arguments: [true, false]) func everythingEndsWithTheServer(isMapped: Bool) throws {
    let server = try RunningServer(isMapped ? ServerOptions() : RunningServer.withoutMapping) {
      $0.latency = 60_000_000_000
    }
    let device = try open(server.path)
    let frames = UnsafeMutablePointer<UInt32>.allocate(capacity: 1)
    frames.initialize(to: 0)
    defer { frames.deallocate() }
    for tag in 0..<8 {
      #expect(device.submit(BlockCommand(.read, block: 0, count: 1, frames: frames, tag: UInt64(tag))))
    }
    device.ring()
    server.stop()
    var done: [BlockCompletion] = []
    let deadline = cm_monotonic_ns() + 10_000_000_000
    while done.count < 8, cm_monotonic_ns() < deadline {
      device.poll(&done, limit: 8)
      usleep(1000)
    }
    #expect(done.map(\.errno) == [Int32](repeating: ENODEV, count: 8))
    let function = device.controller.function
    #expect(function.readConfiguration(at: 0, width: 4) == .max)
    #expect(try errnoOfRead(from: device) == ENODEV)
    device.close()
  }

  /// The error number of a read.
  private func errnoOfRead(from device: NamespaceDevice) throws -> Int32 {
    do throws(BlockDeviceError) {
      _ = try SynchronousDevice(device).read(block: 0, count: 1)
      return 0
    } catch { return error.errno }
  }

  @Test func errorsNameWhatIsMissing() throws {
    let path = RunningServer.freshPath()
    let missing = #expect(throws: FunctionError.self) { try VFIOUserFunction(socket: path) }
    #expect(missing?.errno == ENOENT && missing?.remedy.contains("varve serve") == true)
    let long = #expect(throws: FunctionError.self) {
      try VFIOUserFunction(socket: "/" + String(repeating: "x", count: 120))
    }
    #expect(long?.errno == ENAMETOOLONG)
    close(Glibc.open(path, O_CREAT | O_RDWR, 0o600))
    defer { unlink(path) }
    #expect(throws: FunctionError.self) { try VFIOUserFunction(socket: path) }
    // A server does not replace another kind of file either.
    let exists = #expect(throws: FunctionError.self) {
      try Server(try Self.controller(), socket: path)
    }
    #expect(exists?.errno == EEXIST)
  }

  private static func controller() throws -> EmulatedController {
    try EmulatedController(.init(namespaces: [.init(.memory(bytes: 1 << 20))]), name: "test")
  }

  @Test func aSocketThatWasLeftBehindIsReplacedAndOneInUseIsNot() throws {
    let path = RunningServer.freshPath()
    let descriptor = SocketAddress.makeSocket()
    #expect(SocketAddress(path)?.bind(descriptor) == 0)
    close(descriptor)
    let refused = #expect(throws: FunctionError.self) { try VFIOUserFunction(socket: path) }
    #expect(refused?.errno == ECONNREFUSED)
    let server = try Server(try Self.controller(), socket: path)
    let second = #expect(throws: FunctionError.self) { try Server(try Self.controller(), socket: path) }
    #expect(second?.errno == EADDRINUSE)
    withExtendedLifetime(server) {}
  }

  @Test func removesItsSocketAtTheEnd() throws {
    let server = try RunningServer()
    let path = server.path
    #expect(access(path, F_OK) == 0)
    var status = stat()
    #expect(lstat(path, &status) == 0 && status.st_mode & 0o777 == 0o600)
    server.stop()
    withExtendedLifetime(server) {}
  }

  /// The file mode creation mask is shared by the whole process: files that other threads make at that time
  /// must have the mode they ask for.
  @Test func doesNotChangeTheMaskOfOtherThreads() async throws {
    let path = "/tmp/varve-mask-\(getpid())"
    let modes = Task.detached {
      Set(
        (0..<3000).map { _ in
          var status = stat()
          mkdir(path, 0o700)
          lstat(path, &status)
          rmdir(path)
          return status.st_mode & 0o777
        })
    }
    for _ in 0..<1000 { _ = try ListeningSocket(path + ".sock", mode: 0o600) }
    #expect(await modes.value == [0o700])
  }

  /// A client that dies with commands in flight leaves no state for the next one.
  @Test func theNextClientFindsTheFunctionAsNew() throws {
    let server = try RunningServer()
    do {
      let peer = try server.connect()
      let writes = [
        RegionAccessMessage(offset: 0x24, region: Region.bar0, count: 4, data: [0x1f, 0, 0x1f, 0]),
        RegionAccessMessage(offset: 4, region: Region.configuration, count: 2, data: [6, 0]),
      ]
      for write in writes { #expect(try peer.refusal(.regionWrite, write.encoded) == 0) }
    }
    let raw = try server.connect()
    let command = RegionAccessMessage(offset: 4, region: Region.configuration, count: 2)
    let reply = RegionAccessMessage(decoding: try raw.ask(.regionRead, command.encoded).payload)
    #expect(reply?.data == [0, 0])
    let aqa = RegionAccessMessage(offset: 0x24, region: Region.bar0, count: 4)
    let register = RegionAccessMessage(decoding: try raw.ask(.regionRead, aqa.encoded).payload)
    #expect(register?.data == [0, 0, 0, 0])
  }
}
