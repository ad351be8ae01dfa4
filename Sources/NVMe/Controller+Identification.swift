import NVMeSpec
import PCI

/// The commands of the bring-up and the handling of their results.
extension Controller {
  /// Sends the command of the present state; a state without a command is left at once.
  func sendCommand() throws(ControllerError) {
    guard let command = command() else { return try handle(nil) }
    let isOptional = state == .describingNamespaces
    bringUp.deadline =
      now + (isOptional ? min(options.adminTimeout, Self.descriptorTimeout) : options.adminTimeout)
    guard admin.post(command, context: AdminContext.bringUp.rawValue) != nil else { throw error(.notUsable) }
    bringUp.command = command
    admin.ring()
  }

  /// The time limit of the descriptor list, which some controllers never return (ns).
  private static let descriptorTimeout: UInt64 = 5 * .second

  /// The command of the present state, nil when it needs none.
  private func command() -> SubmissionEntry? {
    switch state {
    case .identifyingController: withData(SubmissionEntry(identify: .controller))
    case .identifyingCommandSet:
      version >= Version(2, 0) ? withData(SubmissionEntry(identify: .commandSetController)) : nil
    case .settingHostBehavior: hostBehaviorCommand()
    case .settingTimestamp: timestampCommand()
    case .settingHostIdentifier: hostIdentifierCommand()
    case .settingQueueCounts:
      SubmissionEntry(setFeature: .numberOfQueues, value: wantedQueues.rawValue)
    case .configuringDoorbells: doorbellCommand()
    case .lendingMemory: hostMemoryCommand()
    case .configuringEvents:
      // Every critical warning (bits 4:0), and the notices that OAES offers at the same bits.
      SubmissionEntry(
        setFeature: .asynchronousEventConfiguration, value: 0x1f | identity.asynchronousEvents & 0x300)
    case .readingHealth: withData(SubmissionEntry(getLogPage: .smart, length: SMARTLog.size))
    case .readingWriteCache:
      identity.hasVolatileWriteCache ? SubmissionEntry(getFeature: .volatileWriteCache) : nil
    case .listingNamespaces:
      version >= Version(1, 1)
        ? withData(
          SubmissionEntry(identify: .activeNamespaces, namespace: bringUp.identifiers.last ?? 0)) : nil
    case .identifyingNamespaces:
      pendingNamespace.map { withData(SubmissionEntry(identify: .namespace, namespace: $0)) }
    case .identifyingGuards: guardCommand()
    case .describingNamespaces:
      version >= Version(1, 3) && !skipsDescriptors
        ? pendingNamespace.map {
          withData(SubmissionEntry(identify: .namespaceDescriptors, namespace: $0))
        } : nil
    case .creatingCompletionQueues: pendingQueue.map { $0.createCompletionQueue }
    case .creatingSubmissionQueues: pendingQueue.map { $0.createSubmissionQueue(quirks) }
    default: nil
    }
  }

  private var wantedQueues: QueueCounts {
    let pairs = max(options.queuePairs, 1)
    return QueueCounts(submission: pairs, completion: pairs)
  }

  private func doorbellCommand() -> SubmissionEntry? {
    guard options.usesShadowDoorbells, identity.adminCommands.contains(.doorbellBuffer) else { return nil }
    // A failure is ignored: doorbells then have no shadows.
    if shadowDoorbells == nil { shadowDoorbells = try? ShadowDoorbells(function: function) }
    return shadowDoorbells?.configure()
  }

  private func hostBehaviorCommand() -> SubmissionEntry? {
    guard identity.retryDelays != (0, 0, 0) else { return nil }
    HostBehavior(advancedRetry: true).encode(into: dataBuffer(HostBehavior.size))
    return withData(SubmissionEntry(setFeature: .hostBehaviorSupport, value: 0))
  }

  /// Timestamp: milliseconds since 1970, 48 bits (Base 2.0, section 5.27.1.11).
  private func timestampCommand() -> SubmissionEntry? {
    guard identity.ioCommands.contains(.timestamp) else { return nil }
    TimestampValue(milliseconds: TimeSource.millisecondsSince1970).encode(
      into: dataBuffer(TimestampValue.size))
    return withData(SubmissionEntry(setFeature: .timestamp, value: 0))
  }

  /// Host Identifier, of 16 bytes where the controller takes that (CTRATT.HIDS), of 8 otherwise (Base 2.0,
  /// section 5.27.1.25).
  private func hostIdentifierCommand() -> SubmissionEntry? {
    let isExtended = identity.attributes & 1 != 0
    guard isExtended || identity.ioCommands.contains(.reservations), let identifier = HostIdentifier.machine
    else { return nil }
    dataBuffer(16).put(bytes: isExtended ? identifier : Array(identifier[..<8]), at: 0)
    return withData(SubmissionEntry(setFeature: .hostIdentifier, value: isExtended ? 1 : 0))
  }

  /// Identifies the guard size of a namespace with protection information, where the controller has guards
  /// other than 16 bits (CTRATT.ELBAS).
  private func guardCommand() -> SubmissionEntry? {
    guard identity.attributes & 1 << 15 != 0, let last = bringUp.namespaces.last,
      last.identifier == pendingNamespace, last.identity.protectionSettings & 7 != 0
    else { return nil }
    return withData(SubmissionEntry(identify: .commandSetNamespace, namespace: last.identifier))
  }

  private var pendingNamespace: UInt32? {
    bringUp.identified < bringUp.identifiers.count ? bringUp.identifiers[bringUp.identified] : nil
  }

  private var pendingQueue: QueueMemory? {
    bringUp.queuesCreated < queues.count ? queues[bringUp.queuesCreated] : nil
  }

  /// Handles the completion of the present state's command and enters the next state.
  /// - Parameter response: nil where no command was sent.
  func handle(_ response: FinishedCommand?) throws(ControllerError) {
    switch state {
    case .identifyingController:
      try require(response)
      try identify()
      try enter(.identifyingCommandSet)
    case .identifyingCommandSet:
      if succeeded(response) { limitCommands() }
      try enter(.settingHostBehavior)
    case .settingHostBehavior:
      understandsDelays = succeeded(response)
      try enter(.settingTimestamp)
    case .settingTimestamp: try enter(.settingHostIdentifier)
    case .settingHostIdentifier: try enter(.settingQueueCounts)
    case .settingQueueCounts:
      if let response { receiveQueueCounts(response) }
      try enter(.configuringDoorbells)
    case .configuringDoorbells:
      shadowDoorbells?.end(succeeded: succeeded(response))
      try enter(.lendingMemory)
    case .lendingMemory:
      if response != nil { hostMemory?.end(succeeded: succeeded(response)) }
      try enter(.configuringEvents)
    case .configuringEvents:
      try enter(.readingWriteCache)
    case .readingWriteCache:
      if let response, succeeded(response) { capabilities.hasVolatileCache = response.result & 1 != 0 }
      try enter(.readingHealth)
    case .readingHealth:
      checkPower(succeeded(response) ? SMARTLog(decoding: answer) : nil)
      try enter(.listingNamespaces)
    case .listingNamespaces:
      try enter(listNamespaces(response) ? .listingNamespaces : .identifyingNamespaces)
    case .identifyingNamespaces:
      if succeeded(response) { identifyNamespace() }
      if response == nil { try checkNamespaces() }
      try enter(response == nil ? .creatingCompletionQueues : .identifyingGuards)
    case .identifyingGuards:
      if succeeded(response) { identifyGuards() }
      try enter(.describingNamespaces)
    case .describingNamespaces:
      if succeeded(response) { describeNamespace() }
      bringUp.identified += 1
      try enter(.identifyingNamespaces)
    case .creatingCompletionQueues:
      if response != nil { try require(response) }
      try enter(response == nil ? .ready : .creatingSubmissionQueues)
    case .creatingSubmissionQueues:
      try require(response)
      bringUp.queuesCreated += 1
      try enter(.creatingCompletionQueues)
    default: break
    }
  }

  private func succeeded(_ response: FinishedCommand?) -> Bool { response?.end == .succeeded }

  private func require(_ response: FinishedCommand?) throws(ControllerError) {
    guard let response else { throw error(.notUsable) }
    guard response.end == .succeeded else {
      throw error(.command(CommandError(queue: 0, command: bringUp.command, ended: response)))
    }
  }

  // MARK: Answers

  private func identify() throws(ControllerError) {
    let found = IdentifyController(decoding: answer)
    if hasBeenReady { try checkSameness(found) }
    identity = found
    learnQuirks()
    capabilities = Capabilities(
      identity, minimumPageSize: registerCapabilities.minimumPageSize,
      maximumFrames: options.maximumTransferFrames)
    if quirks.contains(.noWriteZeroes) { capabilities.canWriteZeroes = false }
    if quirks.contains(.stripes) { capabilities.stripeFrames = capabilities.transferFrames }
    bringUp.identifiers = []
    bringUp.identified = 0
    bringUp.namespaces = []
    bringUp.queuesCreated = 0
  }

  /// Adds the quirks of the model to those of the PCI function.
  private func learnQuirks() {
    let news = Quirks(ofModel: identity.modelNumber).subtracting(quirks)
    quirks.formUnion(news)
    remarks += news.remarks
  }

  /// Checks that the controller after a reset is the one that was there before.
  private func checkSameness(_ found: IdentifyController) throws(ControllerError) {
    let capabilities = ControllerCapabilities(rawValue: registers.load64(at: Register.capabilities))
    guard capabilities.rawValue != .max else { throw error(.removed) }
    guard found.serialNumber == identity.serialNumber, found.modelNumber == identity.modelNumber,
      found.vendor == identity.vendor
    else {
      throw error(
        .replaced(
          "\(found.modelNumber), serial number \(found.serialNumber), instead of \(identity.serialNumber)"))
    }
    guard capabilities == registerCapabilities else {
      throw error(.replaced("its capabilities (CAP) differ"))
    }
  }

  /// Checks that namespaces in use are unchanged: the same identifiers, the same format, and no smaller.
  private func checkNamespaces() throws(ControllerError) {
    // Their users send no Flush when there was no cache at first.
    guard namespacesInUse.isEmpty || hadVolatileCache || !capabilities.hasVolatileCache else {
      throw error(.replaced("it has a volatile write cache now"))
    }
    for old in namespacesInUse {
      // A namespace that is gone needs no check: its commands fail.
      guard let new = bringUp.namespaces.first(where: { $0.identifier == old.identifier }) else { continue }
      guard new.isSame(as: old) else {
        throw error(.replaced("namespace \(old.identifier) is another one, or has another format"))
      }
    }
  }

  /// Checks whether the controller has lost power since the last bring-up, or was restarted: the contents of
  /// its volatile cache may be lost then.
  private func checkPower(_ new: SMARTLog?) {
    let old = health
    if let new { health = new }
    // A controller that reported its power cycles before, and does not now, may have lost power.
    let hasLostPower = hasBeenReady && (old.map { $0.powerCycles != new?.powerCycles } ?? false)
    if hasLostPower { counters.powerLosses += 1 }
    let isStartedAnew = function.starts != lastStart
    lastStart = function.starts
    let mayHaveLost = hadVolatileCache || capabilities.hasVolatileCache
    guard hasBeenReady, isStartedAnew || hasLostPower && mayHaveLost else { return }
    cacheLosses += 1
  }

  private func limitCommands() {
    capabilities.apply(
      CommandSetLimits(decoding: answer), minimumPageSize: registerCapabilities.minimumPageSize)
  }

  /// A controller that refuses Number of Queues is still used for admin commands.
  private func receiveQueueCounts(_ response: FinishedCommand) {
    guard response.end == .succeeded else {
      queueRefusal = CommandError(queue: 0, command: bringUp.command, ended: response)
      queuePairLimit = 0
      return
    }
    queueRefusal = nil
    grantQueues(QueueCounts(rawValue: response.result))
  }

  private func grantQueues(_ counts: QueueCounts) {
    let stride = registerCapabilities.doorbellStride
    let doorbells = (registers.size - Register.doorbells) / (2 * Doorbell.distance(stride)) - 1
    queuePairLimit = min(counts.pairs, max(options.queuePairs, 1), doorbells)
  }

  /// More namespaces than any controller has: bounds a list that a faulty controller never ends.
  private static let namespaceLimit = 16 * NamespaceList.limit

  /// Adds a page of the namespace list.
  /// - Returns: whether there may be more.
  private func listNamespaces(_ response: FinishedCommand?) -> Bool {
    guard succeeded(response) else {
      // Controllers before 1.1 have no list: their namespaces are numbered without gaps.
      let count = min(identity.namespaceCount, UInt32(NamespaceList.limit))
      bringUp.identifiers = count == 0 ? [] : Array(1...count)
      return false
    }
    let last = bringUp.identifiers.last ?? 0
    let more = NamespaceList(decoding: answer).identifiers
    guard let first = more.first, first > last else { return false }
    bringUp.identifiers += more
    return more.count == NamespaceList.limit && bringUp.identifiers.count < Self.namespaceLimit
  }

  private func identifyNamespace() {
    guard let identifier = pendingNamespace else { return }
    var identity = IdentifyNamespace(decoding: answer)
    // An inactive namespace is described by zeros.
    guard identity.size != 0 else { return }
    if quirks.contains(.bogusIdentifiers) { identity.forgetIdentifiers() }
    bringUp.namespaces.append(Namespace(identifier: identifier, identity: identity))
  }

  private func identifyGuards() {
    let last = bringUp.namespaces.count - 1
    let format = bringUp.namespaces[last].identity.formatIndex
    bringUp.namespaces[last].guardBits = CommandSetNamespace(decoding: answer).guardBits(ofFormat: format)
  }

  private func describeNamespace() {
    guard bringUp.namespaces.last?.identifier == pendingNamespace else { return }
    let last = bringUp.namespaces.count - 1
    bringUp.namespaces[last].descriptors = NamespaceDescriptor.decodeList(answer).filter {
      !quirks.contains(.bogusIdentifiers) || $0.type == NamespaceDescriptor.commandSetType
    }
  }

  /// The last state of the bring-up is done.
  func becomeReady() {
    namespaces = bringUp.namespaces
    bringUp.failures = 0
    bringUp.offlineEnd = nil
    hasBeenReady = true
    hadVolatileCache = capabilities.hasVolatileCache
    requestEvents()
  }
}
