import BlockProtocol
import FileProtocol

/// The layout of the slots, the memory of requests in progress, in the arena.
///
/// A slot holds one request. It is a run of frames: a lead frame, whose last bytes hold a WRITE's headers so
/// that the payload after them begins on a page; the data frames; and a spare one, because a read that does
/// not begin on a block covers one block more than its length, and because the kernel requires room for its
/// largest message.
public struct SlotLayout: Sendable, Equatable {
  /// How many requests can be in progress.
  public let count: Int
  /// The largest payload of a read or a write, in bytes.
  public let maximumTransfer: Int

  /// The bytes of `fuse_in_header` and `fuse_write_in`, which go before a WRITE's payload.
  public static let headerLead = 80

  /// Makes a layout; both numbers are raised to the minimum of a mount, `maximumTransfer` to whole frames.
  public init(count: Int = 64, maximumTransfer: Int = 1 << 20) {
    self.count = max(count, 1)
    let frames = (max(maximumTransfer, 128 << 10) + BlockCommand.blockSize - 1) / BlockCommand.blockSize
    self.maximumTransfer = frames * BlockCommand.blockSize
  }

  /// The data frames of a slot, the spare one included.
  public var dataFrames: Int { maximumTransfer / BlockCommand.blockSize + 1 }
  /// All the frames of a slot.
  public var framesPerSlot: Int { dataFrames + 1 }
  /// The frames of all slots, which are the arena's first.
  public var frameCount: Int { framesPerSlot * count }
  /// The largest message from the kernel in bytes, headers included.
  public var bufferSize: Int { Self.headerLead + dataFrames * BlockCommand.blockSize }

  /// The first data frame of slot `slot`.
  @inline(__always)
  public func firstDataFrame(_ slot: Int) -> UInt32 { UInt32(slot * framesPerSlot + 1) }

  /// Where slot `slot` receives messages, in bytes from the start of the arena.
  @inline(__always)
  public func bufferOffset(_ slot: Int) -> Int {
    (slot * framesPerSlot + 1) * BlockCommand.blockSize - Self.headerLead
  }

  /// Sets the frames of each slot in the requests of `service`.
  public func describe(to service: any FileService) {
    for slot in 0..<count { describe(slot, in: service.requests + slot) }
  }

  /// Sets the frames of slot `slot` in `request`.
  @inline(__always)
  public func describe(_ slot: Int, in request: UnsafeMutablePointer<Request>) {
    request.pointee.firstFrame = firstDataFrame(slot)
    request.pointee.frameCount = UInt32(dataFrames)
    request.pointee.payloadOffset = 0
  }
}
