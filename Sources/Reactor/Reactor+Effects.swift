import BlockProtocol
import CMachine
import FileProtocol
import Glibc

extension Reactor {
  /// How many completions are taken from the device at once.
  static let completionBatch = 64

  /// Carries out the service's effects: commands to the device, in order, and replies to the channel.
  func carryOut(_ channel: (any RequestChannel)?) {
    repeat {
      asked.exchange(with: effects)
      for index in effects.commands.indices { submit(effects.commands[index]) }
      if !effects.commands.isEmpty { device?.ring() }
      callers.answer(effects.finished.count)
      for index in effects.finished.indices {
        let slot = Int(effects.finished[index])
        channel?.send(slot: slot)
        if asked.trace.isOn { traceReply(slot) }
        if !service.replies[slot].keepsSlot { free(slot) }
      }
      for slot in effects.released { free(Int(slot)) }
      effects.commands.removeAll(keepingCapacity: true)
      effects.finished.removeAll(keepingCapacity: true)
      effects.released.removeAll(keepingCapacity: true)
    } while refuse() || beginHeld()
  }

  @inline(never)
  private func traceReply(_ slot: Int) {
    asked.trace.record(TracedEvent(.reply), of: UInt16(truncatingIfNeeded: slot))
  }

  @inline(never)
  private func trace(_ completion: BlockCompletion) {
    var event = TracedEvent(.completion)
    event.number = completion.number
    event.code = completion.errno
    asked.trace.record(event, of: TracedEvent.noActor)
  }

  private func free(_ slot: Int) {
    turns.end(slot, now: service.now.monotonic)
    pool.give(slot)
  }

  /// Begins held requests whose turn it is.
  /// - Returns: whether there were any, and so perhaps new effects.
  private func beginHeld() -> Bool {
    guard turns.isHolding else { return false }
    var count = 0
    while let slot = turns.next(now: service.now.monotonic) {
      begin(slot)
      count += 1
    }
    return count > 0
  }

  /// Completes, with an error, commands for which there is no device.
  /// - Returns: whether there were any, and so perhaps new effects.
  private func refuse() -> Bool {
    guard !refused.isEmpty else { return false }
    let tags = refused
    refused.removeAll(keepingCapacity: true)
    for tag in tags { service.complete(tag: tag, errno: ENODEV) }
    return true
  }

  private func submit(_ command: BlockCommand) {
    counters.count(command)
    guard let device else {
      refused.append(command.tag)
      return
    }
    if backlog.isEmpty && device.submit(command) {
      loneRead = inFlight == 0 && command.operation == .read ? service.now.monotonic : 0
      inFlight += 1
    } else {
      counters.delayedCommands += 1
      backlog.append(command)
    }
  }

  /// Submits commands that the device had no room for.
  private func drainBacklog(_ device: any BlockDevice) {
    guard !backlog.isEmpty else { return }
    var taken = false
    while !backlog.isEmpty, device.submit(backlog.first) {
      backlog.removeFirst()
      inFlight += 1
      taken = true
    }
    if taken { device.ring() }
  }

  /// Whether the device has to be polled now; while the reactor only polls its channel, that can wait for the
  /// device's deadline.
  private func isDue(_ device: any BlockDevice) -> Bool {
    !isSpinning && device.nextDeadline <= cm_monotonic_ns()
  }

  /// Collects completions and passes them to the service.
  /// - Returns: whether there were any.
  func pollDevice(_ channel: (any RequestChannel)?) -> Bool {
    guard let device else { return false }
    guard inFlight > 0 || completionsWait || !backlog.isEmpty || isDue(device) else { return false }
    completionsWait = false
    device.poll(&completions, limit: Self.completionBatch)
    drainBacklog(device)
    guard !completions.isEmpty else { return false }
    tick()
    if loneRead != 0 {
      turns.record(latency: service.now.monotonic &- loneRead)
      loneRead = 0
    }
    for index in completions.indices {
      let completion = completions[index]
      inFlight -= 1
      if completion.errno != 0 { counters.failedCommands += 1 }
      if asked.trace.isOn { trace(completion) }
      service.complete(tag: completion.tag, errno: completion.errno)
    }
    completions.removeAll(keepingCapacity: true)
    eventsSinceAdvance = true
    carryOut(channel)
    return true
  }
}
