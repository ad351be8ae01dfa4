@testable import Block
import BlockProtocol
import CMachine
import DriverTestSupport
import EmulatedController
import Glibc
import NVMe
import Testing

/// How a caller sleeps until a device has a completion or an event.
@Suite struct SleepTests {
  private func isReadable(_ descriptor: Int32) -> Bool {
    var watched = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    return poll(&watched, 1, 0) == 1
  }

  @Test func anInterruptSignalsACompletion() throws {
    let machine = try TestMachine { $0.latency = 1_000_000 }
    let device = try machine.openDevice()
    let driver = BlockDriver(device, machine.time)
    let descriptor = try #require(device.interruptDescriptor)
    driver.poll()
    _ = driver.submit(.read, block: 0, count: 1, frames: [0])
    device.ring()
    #expect(device.prepareToSleep())
    #expect(!isReadable(descriptor))
    #expect(device.nextDeadline <= machine.time.now + 1_000_000)
    machine.time.now = device.nextDeadline
    _ = machine.device.service(now: machine.time.now)
    #expect(isReadable(descriptor))
    #expect(!device.prepareToSleep())
    driver.poll()
    #expect(driver.ends == [0: 0])
    #expect(device.prepareToSleep())
    #expect(!isReadable(descriptor))
    device.close()
  }

  @Test func anIdleDeviceHasNoDeadline() throws {
    let machine = try TestMachine()
    let device = try machine.openDevice()
    let driver = BlockDriver(device, machine.time)
    #expect(driver.run(.read, block: 0, count: 1, frames: [0]) == 0)
    #expect(device.prepareToSleep())
    #expect(device.nextDeadline == .max)
    device.close()
  }

  @Test func everyQueuePairHasItsVector() throws {
    let machine = try TestMachine(namespaces: 3)
    let controller = try machine.open()
    let devices = try controller.namespaces.map {
      try NamespaceDevice(controller: controller, namespace: $0.identifier, arenaFrames: 1)
    }
    #expect(Set(devices.compactMap(\.interruptDescriptor)).count == 3)
    for device in devices { device.close() }
  }

  @Test func aControllerInServiceWorksInRealTime() throws {
    var configuration = EmulatedController.Configuration(namespaces: [.init(.memory(bytes: 1 << 20))])
    configuration.latency = 50_000
    let controller = try Controller.open(EmulatedController(configuration))
    let device = SynchronousDevice(
      try NamespaceDevice(controller: controller, namespace: 1, arenaFrames: 16))
    let bytes = (0..<100 * 4096).map { UInt8(truncatingIfNeeded: $0 / 4096 + 1) }
    try device.write(block: 20, bytes)
    try device.flush()
    #expect(try device.read(block: 20, count: 100) == bytes)
    device.close()
  }

  /// A worker thread of the controller signals the interrupt. Preparing to sleep clears that, and so has to
  /// collect the thread's results.
  @Test func resultsOfThreadsAreCollectedBeforeSleeping() throws {
    let path = "/var/tmp/varve-sleep-\(UInt64.random(in: .min ... .max)).img"
    let file = open(path, O_RDWR | O_CREAT, 0o600)
    defer { unlink(path) }
    #expect(file >= 0 && ftruncate(file, 1 << 20) == 0)
    close(file)
    let controller = try Controller.open(
      EmulatedController(EmulatedController.Configuration(image: path)))
    let device = try NamespaceDevice(controller: controller, namespace: 1, arenaFrames: 1)
    defer { device.close() }
    let descriptor = try #require(device.interruptDescriptor)
    _ = device.prepareToSleep()
    var completions: [BlockCompletion] = []
    for tag in 1...20 as ClosedRange<UInt64> {
      #expect(device.submit(BlockCommand(.flush, tag: tag)))
      device.ring()
      var watched = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
      var isWoken: Bool
      repeat { isWoken = poll(&watched, 1, 10_000) == 1 } while isWoken && device.prepareToSleep()
      #expect(isWoken)
      device.poll(&completions, limit: 1)
    }
    #expect(completions.map(\.tag) == Array(1...20))
  }

  @Test func calledAfterCloseItDoesNothing() throws {
    let machine = try TestMachine()
    let device = try machine.openDevice()
    device.close()
    device.close()
    var completions: [BlockCompletion] = []
    #expect(!device.submit(BlockCommand(.flush)))
    device.ring()
    device.poll(&completions, limit: 1)
    #expect(device.eventDescriptor == nil)
    #expect(completions.isEmpty && device.nextDeadline == .max && device.interruptDescriptor == nil)
    #expect(device.errors.isEmpty && device.counters == QueueCounters())
  }
}
