import CMachine
import NVMeSpec
import PCI

/// A doorbell of a queue: stored to in mapped memory where the BAR is mapped, through the window otherwise.
struct DoorbellRegister {
  private let mapped: UnsafeMutableRawPointer?
  private let registers: RegisterWindow
  private let offset: Int

  /// The doorbell at byte `offset` of BAR 0 (see `Doorbell`).
  init(registers: RegisterWindow, offset: Int) {
    self.registers = registers
    self.offset = offset
    mapped = registers.address(of: offset)
  }

  /// Stores a queue's new tail or head, after all that was written to memory before.
  @inline(__always)
  func ring(_ value: UInt32) {
    cm_release_fence()
    if let mapped {
      cm_store32(mapped, value)
    } else {
      registers.store32(value, at: offset)
    }
  }
}
