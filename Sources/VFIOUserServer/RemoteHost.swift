import CMachine
import EmulatedController
import Glibc
import PCI
import VFIOUser

/// A client's memory that could not be mapped, accessed by requests to the client.
///
/// While the server waits for a reply the client may send requests; they are queued, in order.
final class RemoteHost: RemoteMemory {
  /// How many requests a client may have queued.
  private static let delayedLimit = 64

  private unowned let session: Session
  private var identifier: UInt16 = 0
  private var delayed: [Message] = []
  /// Bytes transferred since the copies were last freed.
  private(set) var traffic = 0
  /// Whether the client has failed to reply, so that no more requests are sent.
  private(set) var isLost = false

  init(_ session: Session) { self.session = session }

  /// The next queued request.
  func takeDelayed() -> Message? { delayed.isEmpty ? nil : delayed.removeFirst() }

  /// Whether a request is queued.
  var hasDelayed: Bool { !delayed.isEmpty }

  /// To be called when the copies were freed.
  func forgetTraffic() { traffic = 0 }

  private var pieceLimit: Int { max(1, min(session.limits?.maximumTransfer ?? 1, Session.transferLimit)) }

  func read(_ address: UInt64, into target: UnsafeMutableRawPointer, count: Int) -> Bool {
    pieces(count) { offset, length, deadline in
      let access = DMAAccess(address: address + UInt64(offset), count: UInt64(length))
      guard let reply = ask(.dmaRead, access, by: deadline), reply.data.count == length else { return false }
      reply.data.withUnsafeBytes { if let start = $0.baseAddress { memcpy(target + offset, start, length) } }
      return true
    }
  }

  func write(_ address: UInt64, from source: UnsafeRawPointer, count: Int) -> Bool {
    pieces(count) { offset, length, deadline in
      let data = Array(UnsafeRawBufferPointer(start: source + offset, count: length))
      let access = DMAAccess(address: address + UInt64(offset), count: UInt64(length), data: data)
      return ask(.dmaWrite, access, by: deadline) != nil
    }
  }

  /// Splits a transfer into pieces within the client's limit, all with one deadline.
  private func pieces(_ count: Int, _ body: (Int, Int, Deadline) -> Bool) -> Bool {
    let deadline = Deadline(in: session.patience)
    var offset = 0
    while offset < count {
      let length = min(pieceLimit, count - offset)
      guard body(offset, length, deadline) else { return false }
      offset += length
    }
    traffic += count
    return true
  }

  /// Sends a request and waits for the reply; nil when there is none, or it is an error.
  private func ask(_ command: MessageCommand, _ access: DMAAccess, by deadline: Deadline) -> DMAAccess? {
    guard !isLost else { return nil }
    identifier &+= 1
    do throws(SocketError) {
      try session.socket.send(
        identifier: identifier, command: command.rawValue, payload: access.encoded, by: deadline)
      while true {
        // Waits even when a reply is there already, because the wait also checks for the server's end: a
        // client that always replies at once must not prevent it.
        guard try session.socket.wait(until: deadline) else { return lose() }
        guard let message = try session.socket.receive() else { continue }
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
