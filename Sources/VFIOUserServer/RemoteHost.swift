import CMachine
import EmulatedController
import Glibc
import PCI
import VFIOUser

/// A client's memory that could not be mapped, reached by asking the client.
///
/// While an answer is awaited the client may send requests of its own; they are kept for later, in order.
final class RemoteHost: RemoteMemory {
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

  /// A transfer in pieces of what the client can take, all of them in the time that a client has.
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

  /// Sends a request and waits for the answer; nil when there is none, or it is a refusal.
  private func ask(_ command: MessageCommand, _ access: DMAAccess, by deadline: Deadline) -> DMAAccess? {
    guard !isLost else { return nil }
    identifier &+= 1
    do throws(SocketError) {
      try session.socket.send(
        identifier: identifier, command: command.rawValue, payload: access.encoded, by: deadline)
      while true {
        // Even for an answer that is there already: one that always is keeps the server from ending no more
        // than one that never comes.
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
