/// The Firmware Slot Information log, 512 bytes (Base 2.0, section 5.16.1.4).
public struct FirmwareSlotLog: Hashable, Sendable {
  /// The size of the log in bytes.
  public static let size = 512

  /// The slot of the running firmware, 1...7.
  public var activeSlot: UInt8 = 0
  /// The slot to be activated at the next reset, 0 when not reported.
  public var nextSlot: UInt8 = 0
  /// The revision in slots 1...7, empty where a slot holds none.
  public var revisions = [String](repeating: "", count: 7)

  public init() {}

  /// Reads the log; what a short buffer lacks reads as zero.
  public init(decoding data: UnsafeRawBufferPointer) {
    let active: UInt8 = data.value(at: 0)
    activeSlot = active & 7
    nextSlot = active >> 4 & 7
    revisions = (0..<7).map { data.text(at: 8 + 8 * $0, count: 8) }
  }

  /// Writes the log over a zeroed buffer; what does not fit is left out.
  public func encode(into data: UnsafeMutableRawBufferPointer) {
    data.clear()
    data.put((activeSlot & 7) | (nextSlot & 7) << 4, at: 0)
    for (index, revision) in revisions.prefix(7).enumerated() where !revision.isEmpty {
      data.put(text: revision, at: 8 + 8 * index, count: 8)
    }
  }
}
