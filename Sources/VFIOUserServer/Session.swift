import CMachine
import EmulatedController
import Glibc
import NVMeSpec
import PCI
import VFIOUser

/// One client's session with the controller, from connecting to disconnecting.
///
/// An invalid request is refused with an error reply; a client whose byte stream no longer splits into
/// messages is disconnected. Neither harms the server.
final class Session {
  /// The largest message in bytes: the most data of a region or DMA access, and a page for all else.
  static let messageLimit: UInt32 = UInt32(transferLimit) + 4096
  /// The most data of a region or DMA access in bytes.
  static let transferLimit = 1 << 20
  /// The most descriptors of a message.
  static let descriptorLimit = 64
  /// The most memory mappings: each one more costs time at every access that misses the cached one.
  static let mappingLimit = 200

  let socket: MessageSocket
  let controller: EmulatedController
  /// The doorbells' memory; nil when it is not offered.
  let doorbells: DoorbellPage?
  /// BAR 4, the MSI-X table, which is plain memory.
  var table: [UInt8]
  /// The client's memory, by the device's addresses.
  var dmaRegions: [DMARegion] = []
  /// The client's limits, once it has sent its version.
  var limits: VersionMessage.Capabilities?
  /// How long the client may take to answer a memory access (ns).
  let patience: UInt64
  /// Accesses the client's memory that could not be mapped.
  private(set) lazy var remote = RemoteHost(self)
  /// Called once with the reason why the client's memory is refused, where the error number does not show it.
  var warn: (String) -> Void = { _ in }

  init(
    _ socket: MessageSocket, _ controller: EmulatedController, _ doorbells: DoorbellPage?, patience: UInt64
  ) {
    self.socket = socket
    self.patience = patience
    self.controller = controller
    self.doorbells = doorbells
    table = [UInt8](repeating: 0, count: controller.size(ofBAR: 4))
    controller.remoteMemory = remote
  }

  /// How many messages are handled at once, so that a client that sends without end does not starve the rest
  /// of the server.
  private static let batch = 64

  /// Handles the messages received so far.
  /// - Throws: the error that ends the session.
  func receive() throws(SocketError) {
    for _ in 0..<Self.batch {
      guard let message = try next() else { break }
      try handle(message)
    }
    if remote.isLost { throw .closed }
  }

  private func next() throws(SocketError) -> Message? {
    if let delayed = remote.takeDelayed() { return delayed }
    return try socket.receive()
  }

  /// Ends the session: the client's memory is no longer accessed and its eventfds are closed.
  func end() {
    controller.detachHost()
    controller.remoteMemory = nil
    dmaRegions = []
  }

  // MARK: Requests

  /// The reply to a successful request.
  struct Answer {
    var payload: [UInt8] = []
    var descriptors: [Int32] = []
  }

  /// Why a request is refused.
  struct Refusal: Error {
    let errno: Int32

    init(_ errno: Int32) { self.errno = errno }
  }

  private func handle(_ message: Message) throws(SocketError) {
    let answer: Answer
    let wantsReply = !message.header.flags.contains(.noReply)
    do throws(Refusal) { answer = try self.answer(message) } catch {
      let flags: MessageHeader.Flags = [.reply, .error]
      if wantsReply { try send(message, flags: flags, errno: UInt32(error.errno)) }
      // A client that did not agree on a version first is disconnected.
      guard limits != nil else { throw .closed }
      return
    }
    guard wantsReply else { return }
    try send(message, flags: .reply, payload: answer.payload, descriptors: answer.descriptors)
  }

  private func send(
    _ request: Message, flags: MessageHeader.Flags, errno code: UInt32 = 0, payload: [UInt8] = [],
    descriptors: [Int32] = []
  ) throws(SocketError) {
    try socket.send(
      identifier: request.header.identifier, command: request.header.command, flags: flags, errno: code,
      payload: payload, descriptors: descriptors)
  }

  private func answer(_ message: Message) throws(Refusal) -> Answer {
    guard message.header.flags.isRequest, let command = MessageCommand(rawValue: message.header.command)
    else { throw Refusal(EINVAL) }
    guard (limits == nil) == (command == .version) else { throw Refusal(EINVAL) }
    let payload = message.payload
    let descriptors = message.descriptors
    // SPDK's client passes the file with `dmaUnmap` too, where it is ignored.
    guard descriptors.count == 0 || [.dmaMap, .dmaUnmap, .setInterrupts].contains(command) else {
      throw Refusal(EINVAL)
    }
    switch command {
    case .version: return try agree(try decode(payload))
    case .dmaMap: return try map(try decode(payload), descriptors)
    case .dmaUnmap: return try unmap(try decode(payload))
    case .deviceInfo: return try describeDevice(try decode(payload))
    case .regionInfo: return try describeRegion(try decode(payload))
    case .interruptInfo: return try describeInterrupts(try decode(payload))
    case .setInterrupts: return try setInterrupts(try decode(payload), descriptors)
    case .regionRead: return try read(try decode(payload))
    case .regionWrite: return try write(try decode(payload))
    case .reset: return try reset()
    case .regionDescriptors: throw Refusal(ENOTSUP)
    case .dmaRead, .dmaWrite: throw Refusal(EINVAL)
    }
  }

  private func decode<Payload: MessagePayload>(_ bytes: [UInt8]) throws(Refusal) -> Payload {
    guard let payload = Payload(decoding: bytes) else { throw Refusal(EINVAL) }
    return payload
  }

  private func agree(_ theirs: VersionMessage) throws(Refusal) -> Answer {
    guard theirs.major == VersionMessage.major else { throw Refusal(EINVAL) }
    limits = theirs.capabilities
    let ours = VersionMessage(
      minor: min(theirs.minor, VersionMessage.minor),
      capabilities: .init(maximumDescriptors: Self.descriptorLimit, maximumTransfer: Self.transferLimit))
    return Answer(payload: ours.encoded)
  }

  private func describeDevice(_ request: DeviceInfo) throws(Refusal) -> Answer {
    let flags = DeviceInfo.canReset | DeviceInfo.isPCI
    return Answer(
      payload: DeviceInfo(flags: flags, regions: Region.count, interrupts: InterruptKind.count).encoded)
  }

  private func reset() throws(Refusal) -> Answer {
    do throws(FunctionError) { try controller.reset() } catch { throw Refusal(error.errno) }
    return Answer()
  }
}
