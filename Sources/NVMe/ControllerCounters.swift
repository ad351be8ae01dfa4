/// Resets, errors and events of a controller since it was opened. All counts only grow.
public struct ControllerCounters: Sendable, Equatable {
  /// Resets because of any failure; a bring-up that fails and is begun again counts once more.
  public var resets: UInt64 = 0
  /// Resets that took a function-level reset, since the controller ignored CC.EN or clearing it had not
  /// helped.
  public var functionResets: UInt64 = 0
  /// Times CSTS.CFS was found set.
  public var fatalErrors: UInt64 = 0
  /// Times CSTS.RDY was found clear although the driver had not cleared CC.EN.
  public var lostReadiness: UInt64 = 0
  /// Times its registers were found to read as all ones.
  public var lostChannels: UInt64 = 0
  /// Errors of the function that the bus reported.
  public var busErrors: UInt64 = 0
  /// Times the controller was found to have lost power.
  public var powerLosses: UInt64 = 0
  /// I/O commands that Abort did not end, for which the controller was reset.
  public var stuckCommands: UInt64 = 0
  /// Admin commands that exceeded their time limit, for which the controller was reset.
  public var stuckAdminCommands: UInt64 = 0
  /// Abort commands sent.
  public var aborts: UInt64 = 0
  /// Abort commands that the controller says have aborted their command (bit 0 of dword 0 clear).
  public var commandsAborted: UInt64 = 0
  /// Asynchronous events.
  public var events: UInt64 = 0

  public init() {}
}
