import FileProtocol
import FileSystem
import Format

/// Replays the log of a filesystem that was not unmounted, by mounting it and stopping again.
///
/// It is the filesystem's own recovery, run over a device, or over an `Overlay` when nothing may change.
public enum Recovery {
  /// Memory for the filesystem, in frames of 4 KiB: 64 MiB.
  private static let frames: UInt32 = 16_384

  /// Whether the log may hold something that the newest checkpoint does not.
  /// - Throws: `ImageError` when there is no filesystem or no checkpoint.
  public static func isNeeded(_ image: any BlockReader) throws(ImageError) -> Bool {
    try !Image(image).pack.isClean
  }

  /// Replays the log; the image is clean afterwards.
  /// - Parameters:
  ///   - time: nanoseconds since 1970.
  ///   - last: the last log write to replay; later ones are given up.
  ///   - reusesEmptySegments: where no segment is free, those that are empty in the newest checkpoint are
  ///     used, so that the
  ///     one before cannot be fallen back to.
  /// - Returns: the filesystem's messages.
  /// - Throws: why it could not be mounted.
  public static func replay(
    _ image: any BlockWriter, time: Int64, through last: UInt64 = .max, reusesEmptySegments: Bool = false
  ) throws(RecoveryError) -> [String] {
    let base = UnsafeMutableRawPointer.allocate(
      byteCount: Int(frames + 1) * Page.size, alignment: Page.size)
    defer { base.deallocate() }
    var options = Options()
    options.discards = false
    options.replaysThrough = last
    options.reusesEmptySegments = reusesEmptySegments
    let service = FileSystem(
      memory: WorkingMemory(base: base, firstFrame: 1, frameCount: frames, slots: 1),
      blockCount: image.blockCount, hasVolatileCache: true, canDiscard: false, options: options)
    let pump = Pump(service, image: image, memory: base, time: time)
    do throws(RecoveryError) { try pump.run { service.isReady } } catch {
      throw RecoveryError(
        reason: error.reason, replayableThrough: service.replayableThrough,
        lacksSegments: service.lacksSegments)
    }
    service.stop()
    try pump.run { service.isStopped }
    return service.notices
  }
}

/// Why a log could not be replayed.
public struct RecoveryError: Error, Sendable, CustomStringConvertible {
  /// The filesystem's message.
  public let reason: String
  /// The last log write before the damage, when it is the log that is damaged.
  public var replayableThrough: UInt64?
  /// No segment is free to write to; those that are empty in the newest checkpoint could be used.
  public var lacksSegments = false

  public var description: String { "it cannot be mounted: \(reason)" }
}
