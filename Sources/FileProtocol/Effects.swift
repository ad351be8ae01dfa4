import BlockProtocol

/// What a filesystem wants done, in order. The reactor takes it all after each event and empties the lists,
/// keeping their room.
///
/// It is an object because every part of a filesystem adds to it.
public final class Effects {
  /// For the device, in this order. A flush covers only writes that completed before it was emitted. A
  /// command's frames stay valid until `FileService.complete` for its tag has returned.
  public var commands: [BlockCommand] = []
  /// Slots whose reply is ready in `replies[slot]`; the slot is the reactor's again once it was sent, unless
  /// the reply says that it is kept.
  public var finished: [UInt32] = []
  /// Slots whose memory was kept in use beyond their reply, and no longer is: they are the reactor's again.
  public var released: [UInt32] = []

  public init() {}

  /// Changes lists with another, so that one can be carried out while the other is filled.
  public func exchange(with other: Effects) {
    swap(&commands, &other.commands)
    swap(&finished, &other.finished)
    swap(&released, &other.released)
  }
}
