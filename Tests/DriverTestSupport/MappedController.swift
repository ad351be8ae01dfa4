import CMachine
import EmulatedController
import Glibc
import NVMeSpec
import PCI

/// The emulated controller behind registers in mapped memory, as in hardware, which can be removed while the
/// driver uses them.
public final class MappedController: DeviceFunction {
  public let device: EmulatedController
  private let descriptor: Int32
  private let base: UnsafeMutableRawPointer
  private var known: [Int: UInt32] = [:]
  private var isGone = false

  private static let size = 0x2000
  private static let doorbells = Array(
    stride(from: Register.doorbells, to: Register.doorbells + 0x100, by: 4))
  private static let settings = [
    Register.adminQueueAttributes, Register.adminSubmissionQueue, Register.adminSubmissionQueue + 4,
    Register.adminCompletionQueue, Register.adminCompletionQueue + 4, Register.configuration,
  ]

  /// Registers for a controller.
  /// - Parameter needsService: whether the driver runs it by calling `service`; otherwise the test does.
  public init(_ device: EmulatedController, needsService: Bool = true) throws(FunctionError) {
    self.device = device
    self.needsService = needsService
    descriptor = cm_memfd("varve-test-bar")
    guard ftruncate(descriptor, Self.size) == 0,
      let memory = mmap(nil, Self.size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0),
      memory != MAP_FAILED
    else { throw FunctionError("no memory for registers", errno: errno) }
    base = memory
    BusErrorGuard.protect(base, size: Self.size)
    show()
  }

  deinit {
    BusErrorGuard.release(base)
    munmap(base, Self.size)
    Glibc.close(descriptor)
  }

  /// Removes the registers: every access to them raises SIGBUS.
  public func pullOut() {
    isGone = true
    ftruncate(descriptor, 0)
  }

  /// Forwards the driver's stores to the controller.
  private func takeIn() {
    for offset in Self.settings + Self.doorbells {
      let value = cm_load32(base + offset)
      guard value != known[offset] ?? 0 else { continue }
      known[offset] = value
      device.store32(value, at: offset)
      if offset == Register.configuration, value & 1 == 0 { forgetDoorbells() }
    }
  }

  private func forgetDoorbells() {
    for offset in Self.doorbells {
      cm_store32(base + offset, 0)
      known[offset] = 0
    }
  }

  /// Copies the controller's registers for the driver to read.
  private func show() {
    for offset in stride(from: 0, to: 0x40, by: 4) {
      let value = device.load32(at: offset)
      cm_store32(base + offset, value)
      known[offset] = value
    }
  }

  public let needsService: Bool

  public func service(now: UInt64) -> UInt64 {
    if isGone { return .max }
    takeIn()
    let due = device.service(now: now)
    show()
    return due
  }

  public func reset() throws(FunctionError) {
    if isGone { throw FunctionError("the device is gone", errno: ENODEV) }
    try device.reset()
    forgetDoorbells()
    show()
  }

  public func openBAR(_ index: Int) throws(FunctionError) -> RegisterWindow {
    guard index == 0 else { throw FunctionError("there is no BAR \(index)", errno: ENODEV) }
    return RegisterWindow(mapping: base, size: Self.size)
  }
  public var name: String { "mapped" }
  public var interruptVectors: Int { 0 }
  public var removalDescriptor: Int32? { nil }
  public func enableInterrupts(count: Int) -> [Int32] { [] }
}
