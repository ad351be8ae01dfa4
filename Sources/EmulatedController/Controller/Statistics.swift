/// What a controller has done since it was made.
public struct Statistics: Hashable, Sendable {
  /// Read and Compare commands carried out.
  public var reads = 0
  /// Write commands carried out.
  public var writes = 0
  /// Flush commands carried out.
  public var flushes = 0
  /// Bytes read by the host.
  public var bytesRead = 0
  /// Bytes written by the host.
  public var bytesWritten = 0
  /// Logical blocks deallocated by Dataset Management.
  public var blocksDeallocated = 0
  /// Commands that failed.
  public var errors = 0
  /// Commands that failed because of a medium.
  public var mediaErrors = 0
  /// Controller resets, by CC.EN or of the function.
  public var resets = 0
  /// How often a fault rule has acted.
  public var faultsShown = 0
  /// Power cuts without a shutdown before.
  public var unsafeShutdowns = 0
  /// Commands fetched from submission queues in the controller memory buffer.
  public var commandsFromMemoryBuffer = 0
}
