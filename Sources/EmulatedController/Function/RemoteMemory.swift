/// What a device may do with a stretch of host memory.
public struct HostAccess: OptionSet, Sendable {
  public let rawValue: UInt32

  public init(rawValue: UInt32) { self.rawValue = rawValue }

  public static let read = HostAccess(rawValue: 1)
  public static let write = HostAccess(rawValue: 2)
}

/// Host memory that the controller cannot map: each access is asked for.
public protocol RemoteMemory: AnyObject {
  /// Reads `count` bytes from `address` on; false when the host does not give them.
  func read(_ address: UInt64, into target: UnsafeMutableRawPointer, count: Int) -> Bool
  /// Writes `count` bytes from `address` on; false when the host does not take them.
  func write(_ address: UInt64, from source: UnsafeRawPointer, count: Int) -> Bool
}

/// The controller's dealings with remote memory: bytes are fetched into a copy before they are read, and the
/// copy's bytes delivered before a completion tells of them.
///
/// It works as long as a command begins and ends in one go, so nothing is left to threads meanwhile.
struct RemoteAccess {
  private struct Piece {
    var address: UInt64
    var pointer: UnsafeMutableRawPointer
    var count: Int
  }

  /// Who carries the accesses out.
  weak var host: (any RemoteMemory)?
  /// Whether any mapping is remote.
  var isNeeded = false
  /// What was written to copies and not delivered.
  private var written: [Piece] = []

  /// Fetches bytes into their copy.
  func fetch(_ address: UInt64, _ copy: UnsafeMutableRawPointer, _ count: Int) -> Bool {
    host?.read(address, into: copy, count: count) ?? false
  }

  /// Records that bytes of a copy are about to be written.
  mutating func recordWrite(_ address: UInt64, _ copy: UnsafeMutableRawPointer, _ count: Int) {
    written.append(Piece(address: address, pointer: copy, count: count))
  }

  /// Sends what was written. A host that does not take it is about to be gone.
  mutating func deliver() {
    for piece in written { _ = host?.write(piece.address, from: piece.pointer, count: piece.count) }
    written.removeAll(keepingCapacity: true)
  }
}
