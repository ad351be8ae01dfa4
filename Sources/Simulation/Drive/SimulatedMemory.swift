import Format

/// The arena of a simulated mount: each slot's data frames, then the filesystem's frames; and each slot's
/// names.
public final class SimulatedMemory {
  /// Bytes a slot has for names and values, each.
  static let nameBytes = 69632

  public let base: UnsafeMutableRawPointer
  /// Frames the filesystem may use, from `firstFrame` on.
  public let frameCount: Int
  public let slots: Int
  /// Data frames a slot has: room for the largest request and a payload that is not page-aligned.
  public let slotFrames: Int
  private let names: UnsafeMutableRawPointer

  /// - Parameters:
  ///   - frameCount: 4 KiB frames for the filesystem's cache.
  ///   - slots: requests that can be in flight at once.
  ///   - slotFrames: 4 KiB data frames of each slot.
  public init(frameCount: Int = 2048, slots: Int = 8, slotFrames: Int = 65) {
    self.frameCount = frameCount
    self.slots = slots
    self.slotFrames = slotFrames
    base = .allocate(byteCount: (frameCount + slots * slotFrames) * Page.size, alignment: Page.size)
    names = .allocate(byteCount: slots * 2 * Self.nameBytes, alignment: 16)
  }

  deinit {
    base.deallocate()
    names.deallocate()
  }

  /// The largest read or write a slot takes, in bytes.
  public var largestTransfer: Int { (slotFrames - 1) * Page.size }

  /// The first of the filesystem's frames.
  public var firstFrame: Int { slots * slotFrames }

  /// The first data frame of a slot.
  func firstFrame(slot: Int) -> Int { slot * slotFrames }

  /// A slot's first or second name buffer.
  func names(slot: Int, second: Bool) -> UnsafeMutableRawPointer {
    names + (slot * 2 + (second ? 1 : 0)) * Self.nameBytes
  }

  /// Copies bytes into a slot's first or second name buffer, cut to its size.
  func keep(_ bytes: [UInt8], slot: Int, second: Bool) -> UnsafeRawBufferPointer {
    let place = names(slot: slot, second: second)
    let count = min(bytes.count, Self.nameBytes)
    bytes.withUnsafeBytes {
      if let source = $0.baseAddress { place.copyMemory(from: source, byteCount: count) }
    }
    return UnsafeRawBufferPointer(start: place, count: count)
  }
}
