import NVMeSpec
import PCI

/// The controller memory buffer (CMB), where submission queues may lie in it: commands are then stored
/// through the BAR, and the controller need not fetch them from the host's memory (NVM Express Base 2.0,
/// section 8.5).
final class ControllerMemoryBuffer {
  /// Where the controller finds the buffer: above any address that an IOMMU gives to memory.
  private static let address: UInt64 = 1 << 60
  /// Queues begin at pages.
  private static let pageSize = DMAArena.frameSize

  /// The buffer, as the BAR has it mapped.
  private let base: UnsafeMutableRawPointer
  private let pageCount: Int
  /// Whether the controller has refused a queue in it, or its address: no more queues are placed there.
  private(set) var isRefused = false
  /// The pages that queues lie in, by rising start.
  private var used: [Range<Int>] = []

  /// A part of the buffer that a queue lies in.
  struct Part {
    /// For the processor and for the controller.
    let base: UnsafeMutableRawPointer
    let address: UInt64
    fileprivate let pages: Range<Int>
  }

  private init(_ base: UnsafeMutableRawPointer, pageCount: Int) {
    self.base = base
    self.pageCount = pageCount
  }

  /// The buffer of a controller; nil where there is none that submission queues can lie in.
  ///
  /// Only a buffer whose address the host sets can be used (CAP.CMBS): behind an IOMMU the host does not know
  /// the address at which the controller decodes another.
  /// - Parameter registers: those of the controller, whose CMBMSC.CRE is set here.
  static func find(
    _ capabilities: ControllerCapabilities, _ registers: RegisterWindow, of function: any PCIFunction
  ) -> ControllerMemoryBuffer? {
    guard capabilities.memoryBufferSupported else { return nil }
    // CMBLOC and CMBSZ read 0 before.
    var control = MemoryBufferControl(rawValue: 0)
    control.capabilitiesEnabled = true
    registers.store64(control.rawValue, at: Register.memoryBufferControl)
    let location = MemoryBufferLocation(rawValue: registers.load32(at: Register.memoryBufferLocation))
    let size = MemoryBufferSize(rawValue: registers.load32(at: Register.memoryBufferSize))
    // All ones mean that the device is gone.
    guard size.rawValue != .max, size.submissionQueues, let start = size.byteOffset(location),
      let window = try? function.openBAR(location.bar), start < UInt64(window.size)
    else { return nil }
    // A buffer may be larger than its BAR.
    let bytes = Int(min(size.size, UInt64(window.size) - start))
    guard bytes >= pageSize, start % UInt64(pageSize) == 0, let base = window.address(of: Int(start)),
      window.address(of: Int(start) + bytes - 4) == base + bytes - 4
    else { return nil }
    return ControllerMemoryBuffer(base, pageCount: bytes / pageSize)
  }

  /// Sets the buffer's address. To be called before every enabling of the controller, as a function-level
  /// reset clears it.
  func enable(_ registers: RegisterWindow) {
    var control = MemoryBufferControl(rawValue: 0)
    control.capabilitiesEnabled = true
    control.memorySpaceEnabled = true
    control.baseAddress = Self.address
    registers.store64(control.rawValue, at: Register.memoryBufferControl)
  }

  /// Room for a queue; nil where there is not enough in one piece.
  func allocate(_ bytes: Int) -> Part? {
    guard !isRefused else { return nil }
    let count = (bytes + Self.pageSize - 1) / Self.pageSize
    var start = 0
    for (index, range) in used.enumerated() {
      if range.lowerBound - start >= count { return take(start, count, at: index) }
      start = range.upperBound
    }
    return pageCount - start >= count ? take(start, count, at: used.count) : nil
  }

  private func take(_ start: Int, _ count: Int, at index: Int) -> Part {
    used.insert(start..<start + count, at: index)
    return Part(
      base: base + start * Self.pageSize, address: Self.address + UInt64(start * Self.pageSize),
      pages: start..<start + count)
  }

  /// Records that the controller refuses queues in it.
  func refuse() { isRefused = true }

  /// Whether the controller has refused the address that it was given (CMBSTS.CBAI).
  func hasInvalidAddress(_ registers: RegisterWindow) -> Bool {
    registers.load32(at: Register.memoryBufferStatus) & 1 != 0
  }

  /// Frees room that the controller no longer uses.
  func free(_ part: Part) { used.removeAll { $0 == part.pages } }

  /// Bytes that queues lie in.
  var bytesUsed: Int { used.reduce(0) { $0 + $1.count * Self.pageSize } }
}

extension Controller {
  /// Places queues in the host's memory from now on.
  func refuseMemoryBuffer() {
    guard let memoryBuffer, !memoryBuffer.isRefused else { return }
    memoryBuffer.refuse()
    remarks.append("it takes no queues in its own memory (CMB); they lie in the host's")
  }

  /// Bytes of the controller's memory buffer that submission queues lie in.
  public var memoryBufferUsed: Int { memoryBuffer?.bytesUsed ?? 0 }
}
