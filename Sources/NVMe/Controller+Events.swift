import NVMeSpec
import PCI

/// Asynchronous events: requested, received, followed up.
extension Controller {
  /// The most Asynchronous Event Requests kept outstanding.
  private static let eventRequests = 4

  /// Sends the Asynchronous Event Requests that stay outstanding.
  func requestEvents() {
    for _ in 0..<min(Int(identity.asynchronousEventLimit) + 1, Self.eventRequests) { requestEvent() }
    admin.ring()
  }

  private func requestEvent() {
    admin.post(SubmissionEntry(.asynchronousEventRequest), context: AdminContext.event.rawValue)
  }

  /// Receives an event. A request that failed is not sent again.
  func receiveEvent(_ end: FinishedCommand) {
    guard end.end == .succeeded else { return }
    let event = AsynchronousEvent(rawValue: end.result)
    events.append(event)
    counters.events += 1
    eventService.recordEvent(now: admin.now)
    // Reading the log unmasks the next event of this type.
    eventService.add(.log(event.log))
    if event == .firmwareActivationStarting { expectPause() }
  }

  /// Sends the next follow-up and the event requests, as far as limits allow.
  func serveEvents() {
    if eventService.requestsOwed > 0, eventService.mayRequest(now: admin.now) {
      for _ in 0..<eventService.requestsOwed { requestEvent() }
      eventService.didSendRequests()
    }
    if let followUp = eventService.begin() { send(followUp) }
    setAdminDue()
  }

  private func send(_ followUp: EventService.FollowUp) {
    var command =
      switch followUp {
      case .log(let page): SubmissionEntry(getLogPage: page, length: Self.eventLogLength(page))
      case .identify(let identifier): SubmissionEntry(identify: .namespace, namespace: identifier)
      case .describe(let identifier): SubmissionEntry(identify: .namespaceDescriptors, namespace: identifier)
      }
    command.prp1 = adminData.address(Self.eventFrame)
    eventData.clear()
    if admin.post(command, context: AdminContext.followUp.rawValue) == nil { _ = eventService.end() }
  }

  private static func eventLogLength(_ page: LogPage) -> Int {
    switch page {
    case .smart: SMARTLog.size
    case .firmwareSlots: FirmwareSlotLog.size
    case .changedNamespaces: ChangedNamespaceLog.size
    default: ErrorLogEntry.size
    }
  }

  /// The data of a follow-up.
  private var eventData: UnsafeMutableRawBufferPointer {
    UnsafeMutableRawBufferPointer(
      start: adminData.pointer(Self.eventFrame), count: DMAArena.frameSize)
  }

  /// Handles the end of a follow-up.
  func receiveFollowUp(_ end: FinishedCommand) {
    guard let followUp = eventService.end(), end.end == .succeeded else { return }
    let data = UnsafeRawBufferPointer(eventData)
    switch followUp {
    case .log(.smart): health = SMARTLog(decoding: data)
    case .log(.firmwareSlots): firmware = FirmwareSlotLog(decoding: data)
    case .log(.changedNamespaces): identifyChangedNamespaces(ChangedNamespaceLog(decoding: data))
    case .log: break
    case .identify(let identifier): update(identifier, IdentifyNamespace(decoding: data))
    case .describe(let identifier):
      guard let index = namespaces.firstIndex(where: { $0.identifier == identifier }) else { return }
      namespaces[index].descriptors = NamespaceDescriptor.decodeList(data)
    }
  }

  // MARK: Namespaces that change

  private func identifyChangedNamespaces(_ log: ChangedNamespaceLog) {
    for identifier in log.isOverflow ? namespaces.map(\.identifier) : log.identifiers {
      eventService.add(.identify(identifier))
    }
  }

  /// Updates a namespace that was identified again: it is new, has changed, or is gone (all zeros).
  private func update(_ identifier: UInt32, _ identity: IdentifyNamespace) {
    let place = namespaces.firstIndex { $0.identifier >= identifier } ?? namespaces.count
    let isKnown = place < namespaces.count && namespaces[place].identifier == identifier
    if identity.size == 0 {
      if isKnown { namespaces.remove(at: place) }
      return
    }
    var namespace = Namespace(identifier: identifier, identity: identity)
    if isKnown {
      namespace.descriptors = namespaces[place].descriptors
      namespaces[place] = namespace
    } else {
      namespaces.insert(namespace, at: place)
    }
    if version >= Version(1, 3) { eventService.add(.describe(identifier)) }
  }

  // MARK: Firmware activation

  /// A firmware activation has started: commands may take as long as the controller announces (MTFA).
  private func expectPause() {
    let limit = UInt64(identity.firmwareActivationTime) * 100 * .millisecond
    pauseEnd = now + (limit == 0 ? options.adminTimeout : limit)
  }

  /// Whether commands are delayed by a firmware activation.
  func isPaused(_ status: ControllerStatus) -> Bool {
    guard status.paused, now < pauseEnd else { return false }
    lastPause = now
    return true
  }
}
