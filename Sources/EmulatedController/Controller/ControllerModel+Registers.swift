import CMachine
import Glibc
import NVMeSpec

/// Register accesses and the enable, ready and shutdown state machine (Base 2.0, sections 3.1.3, 3.5, 3.6).
extension ControllerModel {
  mutating func load32(_ offset: Int) -> UInt32 {
    if isUnreachable || barsAreReset { return .max }
    return memoryBuffer.load(offset & ~3) ?? registers.load(offset & ~3)
  }

  mutating func store32(_ value: UInt32, _ offset: Int) {
    if isUnreachable || barsAreReset { return }
    if offset >= Register.doorbells {
      ring(offset, value)
    } else if offset == Register.configuration {
      configure(ControllerConfiguration(rawValue: value))
    } else if memoryBuffer.store(value, offset) {
      iommu.forgetPlaces()
    } else {
      registers.store(value, offset)
    }
  }

  /// A store to CC.
  private mutating func configure(_ new: ControllerConfiguration) {
    let old = registers.configuration
    let new = ControllerConfiguration(rawValue: new.rawValue & Self.definedConfiguration)
    registers.configuration = new
    // Clearing SHN ends the shutdown state only while the controller is disabled or being disabled.
    if !new.announcesShutdown, old.announcesShutdown, !new.enabled || !old.enabled {
      registers.status.shutdown = .none
    }
    if new.enabled, !old.enabled { enable() }
    if !new.enabled, old.enabled { disable() }
    if new.announcesShutdown, !old.announcesShutdown { shutDown() }
    raiseInterrupts()
  }

  /// The bits of CC that version 1.4 defines.
  private static var definedConfiguration: UInt32 { 0x00ff_fff1 }

  /// CC.EN going to 1: checks what the host has set up and becomes ready.
  private mutating func enable() {
    switch faults.actionOnEnable() {
    case .stuck: return
    case .fatal: return fail()
    case .remove: return remove()
    default: break
    }
    guard adminQueuesAreSound else { return fail() }
    pageShift = 12 + Int(registers.configuration.pageSize)
    let attributes = registers.adminQueueAttributes
    queues.submission[0] = SubmissionQueue(
      address: registers.adminSubmissionQueue, entries: UInt32(attributes.submissionSize) + 1)
    queues.completion[0] = CompletionQueue(
      address: registers.adminCompletionQueue, entries: UInt32(attributes.completionSize) + 1,
      interrupts: true)
    sharedDoorbells?.clear()
    registers.status.ready = true
    isRunning = registers.status.shutdown == .none
    if isRunning { recordShutdown(false) }
  }

  private var adminQueuesAreSound: Bool {
    let configuration = registers.configuration
    let attributes = registers.adminQueueAttributes
    let pageMask = (UInt64(4096) << UInt64(configuration.pageSize)) - 1
    return configuration.commandSet == .nvm && configuration.arbitration == 0
      && configuration.pageSize <= registers.capabilities.maximumPageSize
      && attributes.submissionSize >= 1 && attributes.completionSize >= 1
      && registers.adminSubmissionQueue & pageMask == 0 && registers.adminCompletionQueue & pageMask == 0
  }

  /// CC.EN going to 0: a controller reset. Commands not yet carried out are dropped.
  private mutating func disable() {
    let action = faults.actionOnDisable()
    reset()
    if case .stuck = action { return }
    registers.status = ControllerStatus(rawValue: 0)
  }

  /// Drops queues and commands; registers other than CC and CSTS stay.
  mutating func reset() {
    isRunning = false
    finishWork()
    deferred.removeWaiting()
    queues.removeAll()
    memoryBuffer.spoil()
    timing.reset()
    shadows = nil
    lentMemory = []
    hostMemory = HostMemoryAttributes()
    features = FeatureTable(configuration)
    readClock()
    features.timestamp.at = now
    events = AsynchronousEvents()
    statistics.resets += 1
  }

  /// A function-level reset, or power coming back: registers too get their initial values.
  mutating func resetFunction() {
    reset()
    registers.reset()
    memoryBuffer.reset()
  }

  /// A shutdown notification: everything becomes durable.
  private mutating func shutDown() {
    if case .stuck = faults.actionOnShutdown() {
      registers.status.shutdown = .occurring
      return
    }
    finishWork()
    if registers.configuration.shutdown == .normal { synchronizeAll() }
    isRunning = false
    registers.status.shutdown = .complete
    recordShutdown(true)
  }

  /// A fatal error: only a reset helps.
  mutating func fail() {
    registers.status.fatal = true
    isRunning = false
  }

  /// The function goes away.
  mutating func remove() {
    isRemoved = true
    isRunning = false
    if removal >= 0 { cm_eventfd_signal(removal) }
  }

  /// The link goes down: the host's accesses reach nothing, and the controller's completions are lost.
  mutating func dropLink(for duration: UInt64, resets: Bool) {
    finishWork()
    deferred.removeWaiting()
    isRunning = false
    linkReturn = (now.saturatingAdd(duration), resets)
  }

  /// The link is up again. Doorbell stores made meanwhile were lost.
  mutating func restoreLink() {
    if linkReturn?.resets == true {
      resetFunction()
      linkWasReset = true
    }
    linkReturn = nil
    isRunning =
      registers.status.ready && !registers.status.fatal && registers.status.shutdown == .none && !isRemoved
  }
}

extension ControllerConfiguration {
  /// Whether SHN announces a shutdown; its reserved value does not.
  fileprivate var announcesShutdown: Bool { [.normal, .abrupt].contains(shutdown) }
}
