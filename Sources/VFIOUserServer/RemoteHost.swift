import CMachine
import EmulatedController
import Glibc
import VFIOUser

/// A client's memory that could not be mapped, reached by asking the client.
///
/// While an answer is awaited the client may send requests of its own; they are kept for later, in order.
final class RemoteHost: RemoteMemory {
  /// How long a client may take for an answer, in milliseconds.
  private static let patience: Int32 = 5_000
  /// How many requests a client may send meanwhile.
  private static let delayedLimit = 64

  private unowned let session: Session
  private var identifier: UInt16 = 0
  private var delayed: [Message] = []
  /// Bytes that went back and forth since the copies were last given back.
  private(set) var traffic = 0
  /// Whether the client has not answered, and so cannot be asked any more.
  private(set) var isLost = false

  init(_ session: Session) { self.session = session }

  /// The next request that came while an answer was awaited.
  func takeDelayed() -> Message? { delayed.isEmpty ? nil : delayed.removeFirst() }

  /// Whether such a request waits.
  var hasDelayed: Bool { !delayed.isEmpty }

  /// To be called when the copies were given back.
  func forgetTraffic() { traffic = 0 }

  private var pieceLimit: Int { max(1, min(session.limits?.maximumTransfer ?? 1, Session.transferLimit)) }

  func read(_ address: UInt64, into target: UnsafeMutableRawPointer, count: Int) -> Bool {
    pieces(count) { offset, length in
      let access = DMAAccess(address: address + UInt64(offset), count: UInt64(length))
      guard let reply = ask(.dmaRead, access), reply.data.count == length else { return false }
      reply.data.withUnsafeBytes { if let start = $0.baseAddress { memcpy(target + offset, start, length) } }
      return true
    }
  }

  func write(_ address: UInt64, from source: UnsafeRawPointer, count: Int) -> Bool {
    pieces(count) { offset, length in
      let data = Array(UnsafeRawBufferPointer(start: source + offset, count: length))
      return ask(.dmaWrite, DMAAccess(address: address + UInt64(offset), count: UInt64(length), data: data))
        != nil
    }
  }

  private func pieces(_ count: Int, _ body: (Int, Int) -> Bool) -> Bool {
    var offset = 0
    while offset < count {
      let length = min(pieceLimit, count - offset)
      guard body(offset, length) else { return false }
      offset += length
    }
    traffic += count
    return true
  }

  /// Sends a request and waits for the answer; nil when there is none, or it is a refusal.
  private func ask(_ command: MessageCommand, _ access: DMAAccess) -> DMAAccess? {
    guard !isLost else { return nil }
    identifier &+= 1
    do throws(SocketError) {
      try session.socket.send(identifier: identifier, command: command.rawValue, payload: access.encoded)
      while true {
        guard let message = try session.socket.receive() else {
          guard session.socket.wait(timeout: Self.patience) else { return lose() }
          continue
        }
        if message.header.flags.isRequest {
          guard delayed.count < Self.delayedLimit else { return lose() }
          delayed.append(message)
        } else {
          return accept(message, command, access)
        }
      }
    } catch { return lose() }
  }

  private func accept(_ message: Message, _ command: MessageCommand, _ access: DMAAccess) -> DMAAccess? {
    guard message.header.identifier == identifier, message.header.command == command.rawValue else {
      return lose()
    }
    guard !message.header.flags.contains(.error), let reply = DMAAccess(decoding: message.payload),
      reply.address == access.address, reply.count == access.count
    else { return nil }
    return reply
  }

  private func lose() -> DMAAccess? {
    isLost = true
    return nil
  }
}
