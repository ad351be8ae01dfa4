import EmulatedController
import PCI

/// The emulated controller as hardware that runs by itself, but only at moments that a test chooses: `moment`
/// is called before and after each access of the driver to the function, and whenever the test wants.
public final class StepwiseController: DeviceFunction, RegisterAccess {
  public let device: EmulatedController
  /// What may happen at a moment: nothing, or one or several calls of `step`.
  public var moment: () -> Void = {}
  /// The controller's own time (ns).
  public private(set) var time: UInt64 = 1_000_000_000

  public init(_ device: EmulatedController) { self.device = device }

  /// Whether some commands are not carried out yet.
  public var isBusy: Bool {
    // Commands announced by shadow doorbells are not counted before.
    _ = device.service(now: time)
    return device.awaitsService
  }

  /// Carries out, and completes, the commands that are due next.
  public func step() {
    let due = device.service(now: time)
    guard due != .max else { return }
    time = max(time, due)
    _ = device.service(now: time)
  }

  // MARK: Moments

  public let needsService = true

  public func service(now: UInt64) -> UInt64 {
    moment()
    return .max
  }

  public func load32(at offset: Int) -> UInt32 { touching { device.load32(at: offset) } }
  public func load64(at offset: Int) -> UInt64 { touching { device.load64(at: offset) } }
  public func store32(_ value: UInt32, at offset: Int) {
    touching {
      // Commands that are fetched at another time are due at another.
      time += 1
      _ = device.service(now: time)
      device.store32(value, at: offset)
    }
  }
  public func store64(_ value: UInt64, at offset: Int) { touching { device.store64(value, at: offset) } }

  private func touching<Result>(_ access: () -> Result) -> Result {
    moment()
    defer { moment() }
    return access()
  }

  // MARK: Forwarded to the function

  public func openBAR(_ index: Int) throws(FunctionError) -> RegisterWindow {
    RegisterWindow(access: self, size: try device.openBAR(index).size)
  }
  public var name: String { device.name }
  public var interruptVectors: Int { device.interruptVectors }
  public var removalDescriptor: Int32? { device.removalDescriptor }
  public func enableInterrupts(count: Int) throws(FunctionError) -> [Int32] {
    try device.enableInterrupts(count: count)
  }
  public func reset() throws(FunctionError) { try device.reset() }
}
