import CMachine
import Glibc
import PCI

/// Reconnecting after the server has ended and was restarted: the function continues at the new server with
/// the same memory, registers and interrupts.
extension VFIOUserFunction {
  /// How often reconnecting is tried (ns).
  private static let interval: UInt64 = 100_000_000
  /// How long a restarted server may take to answer the first message (ns).
  private static let patience: UInt64 = 1_000_000_000

  public func restoreChannel() {
    guard !isClosed, link.connection.isLost, server.canBeWatched, cm_monotonic_ns() >= nextAttempt else {
      return
    }
    // A failure is ignored: reconnecting is tried again later.
    try? takeUp()
    nextAttempt = cm_monotonic_ns() + Self.interval
  }

  private func takeUp() throws(FunctionError) {
    let socket = try ServerSocket.connect(path, patience: link.connection.patience)
    let other = ServerProcess(behind: socket)
    guard server.isReplaced(by: other) else {
      throw FunctionError(
        "\(path): process \(server.identifier) still has this process's memory", remedy: "end it first",
        errno: EBUSY)
    }
    let limits = try ServerSocket.negotiate(socket, path, patience: Self.patience)
    let connection = try ClientConnection(
      socket, path: path, memory: link.memory, patience: link.connection.patience)
    do throws(FunctionError) {
      guard try Self.askDevice(connection) == info else {
        throw FunctionError("\(path): the server has another function now", errno: ENODEV)
      }
      for region in regions { try remap(region, connection) }
      for (address, arena) in link.memory.all { try share(arena, at: address, connection) }
    } catch {
      connection.close()
      throw error
    }
    link.replace(by: connection)
    server = other
    self.limits = limits
    starts += 1
    prepare()
    if vectorsInUse > 0 { _ = try? enableInterrupts(count: vectorsInUse) }
  }

  /// Maps a region of the new server at the address of the former one's.
  private func remap(_ region: OpenRegion, _ connection: ClientConnection) throws(FunctionError) {
    let reply = try connection.request(.regionInfo, RegionInfo(index: region.index).encoded)
    guard let found = RegionInfo(decoding: reply.payload), found.index == region.index,
      found.length == UInt64(region.size)
    else {
      throw FunctionError("\(path): the server's BAR \(region.index) is another one now", errno: ENODEV)
    }
    guard let mapping = region.mapping else { return }
    guard let descriptor = reply.descriptors.first, found.flags & RegionInfo.mappable != 0,
      mapping.replace(descriptor, start: found.offset)
    else {
      throw FunctionError("\(path): the server shares BAR \(region.index) no more", errno: ENODEV)
    }
  }
}
