import Block
import EmulatedController
import NVMe
import PCI

/// A clock that advances only when the driver sleeps or a test calls `pass`.
public final class TestTime {
  public var now: UInt64 = 1_000_000_000

  public init() {}

  /// Advances the time.
  public func pass(_ nanoseconds: UInt64) { now += nanoseconds }
}

/// An emulated controller with a clock that the test advances.
public final class TestMachine {
  public let device: EmulatedController
  public let time: TestTime
  public var options: ControllerOptions

  /// A machine with one namespace of `blocks` 4 KiB blocks.
  /// - Parameters:
  ///   - blocks: the size in blocks of 4 KiB.
  ///   - lbaSize: the size of a logical block in bytes.
  ///   - namespaces: how many namespaces, all alike.
  ///   - configure: changes the controller's configuration.
  public init(
    blocks: Int = 256, lbaSize: Int = 4096, namespaces: Int = 1,
    _ configure: (inout EmulatedController.Configuration) -> Void = { _ in }
  ) throws {
    var configuration = EmulatedController.Configuration(
      namespaces: (0..<namespaces).map { _ in .init(.memory(bytes: blocks * 4096), blockSize: lbaSize) })
    configuration.mode = .stepped
    configure(&configuration)
    device = try EmulatedController(configuration, name: "test")
    let time = TestTime()
    self.time = time
    options = ControllerOptions()
    options.time = TimeSource(now: { time.now }, sleep: { time.pass($0) })
  }

  /// Brings the controller up.
  public func open() throws -> Controller { try Controller.open(device, options: options) }

  /// Brings the controller up and opens a namespace.
  public func openDevice(namespace: UInt32 = 1, frames: Int = 64) throws -> NamespaceDevice {
    try NamespaceDevice(controller: open(), namespace: namespace, arenaFrames: frames)
  }
}
