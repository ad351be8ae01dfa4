import BlockProtocol

/// The effects of a filesystem's event handling, in order. The reactor carries them out after each event and
/// empties the lists, keeping their capacity.
///
/// It is a class because every part of a filesystem adds to it.
public final class Effects {
  /// Commands for the device, in this order. A flush covers only writes that completed before it was emitted.
  /// A command's frames stay valid until `FileService.complete` for its tag has returned.
  public var commands: [BlockCommand] = []
  /// Slots whose reply is ready in `replies[slot]`; the reactor owns the slot again once the reply is sent,
  /// unless the reply keeps it (`Reply.keepsSlot`).
  public var finished: [UInt32] = []
  /// Slots that were kept beyond their reply and are no longer in use: the reactor owns them again.
  public var released: [UInt32] = []
  /// The last events, for `varve trace` and the log.
  public let trace = EventTrace()

  public init() {}

  /// Adds a command for the device.
  @inline(__always)
  public func submit(_ command: BlockCommand) {
    commands.append(trace.isOn ? trace.number(command) : command)
  }

  /// Swaps the lists, but not the traces, with another's, so that one can be carried out while the other is
  /// filled.
  public func exchange(with other: Effects) {
    swap(&commands, &other.commands)
    swap(&finished, &other.finished)
    swap(&released, &other.released)
  }
}
