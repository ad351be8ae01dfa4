/// The commands of vfio-user that are spoken here. Requests go from client to server, but for the DMA
/// accesses.
public enum MessageCommand: UInt16, Sendable, CaseIterable {
  /// Agrees on version and limits; comes first.
  case version = 1
  /// Lets the server reach a stretch of the client's memory.
  case dmaMap = 2
  /// Takes such a stretch back.
  case dmaUnmap = 3
  /// Asks how many regions and interrupt kinds there are.
  case deviceInfo = 4
  /// Asks for a region's size and what of it can be mapped.
  case regionInfo = 5
  /// Asks for descriptors that take a region's accesses; spoken by nobody here.
  case regionDescriptors = 6
  /// Asks how many interrupts of a kind there are.
  case interruptInfo = 7
  /// Connects interrupts to eventfds.
  case setInterrupts = 8
  /// Reads a region.
  case regionRead = 9
  /// Writes a region.
  case regionWrite = 10
  /// Reads the client's memory, asked for by the server.
  case dmaRead = 11
  /// Writes the client's memory, asked for by the server.
  case dmaWrite = 12
  /// Resets the device.
  case reset = 13

  /// A number as people read it.
  static func name(_ number: UInt16) -> String {
    MessageCommand(rawValue: number).map { "\($0)" } ?? "command \(number)"
  }
}
