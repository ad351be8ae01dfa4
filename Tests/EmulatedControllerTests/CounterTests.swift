import CMachine
import EmulatedController
import Glibc
import NVMeSpec
import Testing

@Suite("Lifetime counters")
struct CounterTests {
  private func host(_ image: TemporaryImage, isWriteProtected: Bool = false) throws -> TestHost {
    var configuration = EmulatedController.Configuration(namespaces: [.init(.image(path: image.path))])
    configuration.mode = .stepped
    configuration.namespaces[0].isWriteProtected = isWriteProtected
    let host = try TestHost(configuration)
    host.enable()
    return host
  }

  @Test("SMART continues counting after a restart", arguments: [true, false])
  func restart(isClosed: Bool) throws {
    let image = try TemporaryImage(bytes: 1 << 20, folder: "/var/tmp")
    let before = try image.contents()
    for round in 1...3 {
      let host = try host(image)
      let queue = host.makeQueue()
      let frame = host.allocate()
      #expect(host.status(host.transfer(.read, block: 0, count: 1, frame: frame), queue).isSuccess)
      #expect(!host.status(host.transfer(.read, block: 1 << 40, count: 1, frame: frame), queue).isSuccess)
      _ = host.controller.service(now: UInt64(3600) * 1_000_000_000)
      let health = try #require(host.health())
      #expect(health.powerCycles == UInt128(round) && health.powerOnHours == UInt128(round))
      #expect(health.readCommands == UInt128(round) && health.errorLogEntries == UInt128(round))
      #expect(health.unsafeShutdowns == 0)
      let log = try #require(host.data(SubmissionEntry(getLogPage: .error, length: 64), 64))
      #expect(ErrorLogEntry(decoding: log).count == UInt64(round))
      host.announceShutdown(.normal)
      if isClosed { host.controller.close() }
    }
    #expect(try image.contents() == before)
  }

  @Test("an end without shutdown notification is unsafe, and a power cycle")
  func unsafeEnd() throws {
    let image = try TemporaryImage(bytes: 1 << 20, folder: "/var/tmp")
    func end(_ notification: ShutdownNotification?, uses isUsedAfterwards: Bool = false) throws -> SMARTLog {
      let host = try host(image)
      let health = try #require(host.health())
      if let notification {
        host.announceShutdown(notification)
        host.disable()
      }
      if isUsedAfterwards { host.enable() }
      host.controller.close()
      return health
    }
    #expect(try end(.abrupt).unsafeShutdowns == 0)
    #expect(try end(nil).unsafeShutdowns == 0)
    #expect(try end(.normal, uses: true).unsafeShutdowns == 1)
    let last = try end(.normal)
    #expect(last.unsafeShutdowns == 2 && last.powerCycles == 4)
  }

  @Test("only a power cut is a power cycle while the controller is open")
  func powerCut() throws {
    let host = try TestHost.memory()
    #expect(host.health()?.powerCycles == 1)
    host.announceShutdown(.normal)
    host.disable()
    try host.controller.reset()
    host.enable()
    #expect(host.health()?.powerCycles == 1)
    host.controller.show(.losePower)
    host.enable()
    #expect(host.health()?.powerCycles == 2 && host.health()?.unsafeShutdowns == 1)
    host.announceShutdown(.normal)
    host.controller.show(.losePower)
    host.enable()
    #expect(host.health()?.powerCycles == 3 && host.health()?.unsafeShutdowns == 1)
  }

  @Test(
    "malformed stored counters are ignored",
    arguments: ["", "x", "1 2 3", "-1", "9999999999999999999"])
  func nonsense(text: String) throws {
    let image = try TemporaryImage(bytes: 1 << 20, folder: "/var/tmp")
    let words = text.isEmpty ? "" : Array(repeating: text, count: 10).joined(separator: " ")
    #expect(setxattr(image.path, "user.varve.smart", words, words.utf8.count, 0) == 0)
    let host = try host(image)
    #expect(host.health()?.powerCycles == 1 && host.health()?.unsafeShutdowns == 0)
  }

  @Test("a read-only image stores no counters")
  func writeProtected() throws {
    let image = try TemporaryImage(bytes: 1 << 20, folder: "/var/tmp")
    for _ in 0..<2 { #expect(try host(image, isWriteProtected: true).health()?.powerCycles == 1) }
    #expect(getxattr(image.path, "user.varve.smart", nil, 0) < 0)
  }
}
