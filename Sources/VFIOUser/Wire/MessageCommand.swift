/// The supported commands of vfio-user. Requests go from client to server, except the DMA accesses.
public enum MessageCommand: UInt16, Sendable, CaseIterable {
  /// Agrees on version and limits; comes first.
  case version = 1
  /// Gives the server access to a range of the client's memory.
  case dmaMap = 2
  /// Takes such a range back.
  case dmaUnmap = 3
  /// Asks how many regions and interrupt kinds there are.
  case deviceInfo = 4
  /// Asks for a region's size and its mappable parts.
  case regionInfo = 5
  /// Asks for descriptors that carry out a region's accesses; not used by this client or server.
  case regionDescriptors = 6
  /// Asks how many interrupts of a kind there are.
  case interruptInfo = 7
  /// Connects interrupts to eventfds.
  case setInterrupts = 8
  /// Reads a region.
  case regionRead = 9
  /// Writes a region.
  case regionWrite = 10
  /// Reads the client's memory; sent by the server.
  case dmaRead = 11
  /// Writes the client's memory; sent by the server.
  case dmaWrite = 12
  /// Resets the device.
  case reset = 13

  /// A command's name for messages, or its number.
  static func name(_ number: UInt16) -> String {
    MessageCommand(rawValue: number).map { "\($0)" } ?? "command \(number)"
  }
}
