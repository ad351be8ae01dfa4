import CMachine
import NVMeSpec
import PCI

/// A doorbell of a queue: stored to in mapped memory where the BAR is mapped, through the window otherwise.
///
/// With a shadow doorbell the new value is stored to memory first, and to the register only when the event
/// index, which the controller writes, asks for it (NVM Express Base 2.0, 5.8 and annex B.5).
@usableFromInline
struct DoorbellRegister {
  private let mapped: UnsafeMutableRawPointer?
  /// The address of the register where ringing is a single store: where it is mapped and has no shadow.
  @usableFromInline private(set) var directAddress: UnsafeMutableRawPointer?
  private let registers: RegisterWindow
  /// The byte offset in BAR 0.
  let offset: Int
  /// The addresses of the shadow value and the event index, while the controller uses them.
  var shadow: (value: UnsafeMutableRawPointer, event: UnsafeMutableRawPointer)? {
    didSet { directAddress = shadow == nil ? mapped : nil }
  }

  /// The doorbell at byte `offset` of BAR 0 (see `Doorbell`).
  init(registers: RegisterWindow, offset: Int) {
    self.registers = registers
    self.offset = offset
    mapped = registers.address(of: offset)
    directAddress = mapped
  }

  /// Passes a queue's new tail or head to the controller, ordered after all earlier stores to memory.
  ///
  /// Mutating so that the caller need not copy the value.
  /// - Returns: whether the register itself was written.
  mutating func ring(_ value: UInt32) -> Bool {
    cm_release_fence()
    if let shadow, !update(shadow, value) { return false }
    if let mapped {
      cm_store32(mapped, value)
    } else {
      registers.store32(value, at: offset)
    }
    return true
  }

  /// Stores a value into the shadow.
  /// - Returns: whether the register has to be written as well.
  private func update(
    _ shadow: (value: UnsafeMutableRawPointer, event: UnsafeMutableRawPointer), _ value: UInt32
  ) -> Bool {
    let old = cm_load32(shadow.value)
    cm_store32(shadow.value, value)
    // The event index must not be read before the controller can see the value: the controller writes the
    // index and then reads the value once more before it stops polling the shadow.
    cm_full_fence()
    return Self.isAwaited(event: cm_load32(shadow.event), from: old, to: value)
  }

  /// Whether a doorbell that goes from one value to another passes the event index. All wrap at 16 bits.
  static func isAwaited(event: UInt32, from old: UInt32, to new: UInt32) -> Bool {
    let new = UInt16(truncatingIfNeeded: new)
    return new &- UInt16(truncatingIfNeeded: event) &- 1 < new &- UInt16(truncatingIfNeeded: old)
  }
}
