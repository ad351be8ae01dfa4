/// How a device may access a range of host memory.
public struct HostAccess: OptionSet, Sendable {
  public let rawValue: UInt32

  public init(rawValue: UInt32) { self.rawValue = rawValue }

  public static let read = HostAccess(rawValue: 1)
  public static let write = HostAccess(rawValue: 2)
}

/// Host memory that the controller cannot map: each access is a request to the host.
public protocol RemoteMemory: AnyObject {
  /// Reads `count` bytes from `address` on; false when the host does not give them.
  func read(_ address: UInt64, into target: UnsafeMutableRawPointer, count: Int) -> Bool
  /// Writes `count` bytes from `address` on; false when the host does not take them.
  func write(_ address: UInt64, from source: UnsafeRawPointer, count: Int) -> Bool
}

/// The controller's accesses to remote memory: bytes are fetched into a copy before they are read, and
/// written bytes are delivered from the copy before the command completes.
///
/// This requires that a command runs from start to end in one call, so worker threads are not used with
/// remote memory.
struct RemoteAccess {
  private struct Piece {
    var address: UInt64
    var pointer: UnsafeMutableRawPointer
    var count: Int
  }

  /// Carries out the accesses.
  weak var host: (any RemoteMemory)?
  /// Whether any mapping is remote.
  var isNeeded = false
  /// Bytes that were written to copies and not yet delivered.
  private var written: [Piece] = []

  /// Fetches bytes into their copy.
  func fetch(_ address: UInt64, _ copy: UnsafeMutableRawPointer, _ count: Int) -> Bool {
    host?.read(address, into: copy, count: count) ?? false
  }

  /// Records that bytes of a copy are about to be written.
  mutating func recordWrite(_ address: UInt64, _ copy: UnsafeMutableRawPointer, _ count: Int) {
    written.append(Piece(address: address, pointer: copy, count: count))
  }

  /// Sends what was written. A failure is ignored: the host's connection is about to end.
  mutating func deliver() {
    for piece in written { _ = host?.write(piece.address, from: piece.pointer, count: piece.count) }
    written.removeAll(keepingCapacity: true)
  }
}
