import NVMeSpec

/// How carrying out a command ended.
enum Outcome {
  case done(Status, UInt64)
  /// The completion comes later: from a worker thread, or with an asynchronous event.
  case pending

  static let success = Outcome.done(.success, 0)

  /// A command with invalid fields: refused with Do Not Retry.
  static func refused(_ code: StatusCode) -> Outcome { .done(Status(code, doNotRetry: true), 0) }
}

/// A command's path from its fetch to its completion.
extension ControllerModel {
  /// Carries a command out and completes it, unless its outcome is pending.
  @inline(__always)
  mutating func carryOut(_ fetched: FetchedCommand) {
    var command = fetched
    let outcome = outcome(&command)
    if case .done(let status, let result) = outcome { finish(command, status, result) }
  }

  @inline(__always)
  private mutating func outcome(_ command: inout FetchedCommand) -> Outcome {
    if case .status(let status) = command.fault { return .done(status, 0) }
    return command.queue == 0 ? executeAdmin(command) : executeIO(&command)
  }

  /// Completes a command, with the fault of its fault rule.
  @inline(__always)
  mutating func finish(_ command: FetchedCommand, _ status: Status, _ result: UInt64 = 0) {
    if !status.isSuccess { recordError(command, status) }
    if !isObserved {
      post(
        queue: command.queue, identifier: command.entry.commandIdentifier, status: status, result: result)
    } else {
      finishObserved(command, status, result)
    }
  }

  @inline(never)
  private mutating func finishObserved(_ command: FetchedCommand, _ status: Status, _ result: UInt64) {
    if case .completeLate(let time) = command.fault {
      var late = command
      late.fault = .status(status)
      return deferred.schedule(late, due: now.saturatingAdd(time))
    }
    if status.isSuccess { recordCompletion(of: command) }
    var identifier = command.entry.commandIdentifier
    switch command.fault {
    case .loseCompletion: return
    case .completeAs(let other): identifier = other
    case .addCompletion(let other):
      post(queue: command.queue, identifier: other, status: .success, result: 0)
    case .duplicateCompletion:
      post(queue: command.queue, identifier: identifier, status: status, result: result)
    default: break
    }
    post(queue: command.queue, identifier: identifier, status: status, result: result)
    spoilCompletion(of: command)
  }

  /// The status codes that count as media and data integrity errors.
  private static let dataErrors: Set<StatusCode> = [
    .unrecoveredReadError, .guardCheckError, .applicationTagCheckError, .referenceTagCheckError,
  ]

  /// Counts a failure and puts it into the error log.
  @inline(never)
  private mutating func recordError(_ command: FetchedCommand, _ status: Status) {
    statistics.errors += 1
    if Self.dataErrors.contains(status.code) { statistics.mediaErrors += 1 }
    var entry = ErrorLogEntry()
    entry.submissionQueue = command.queue
    entry.commandIdentifier = command.entry.commandIdentifier
    entry.status = status
    entry.parameterLocation = .max
    entry.namespace = command.entry.namespace
    if command.queue != 0 { entry.block = command.entry.startingBlock }
    errorLog.append(entry)
  }

  /// Gathers the memory a command's data lies in.
  @inline(__always)
  mutating func gather(_ command: FetchedCommand, length: Int, write: Bool) -> Status {
    pieces.clear()
    if case .refuseDMA = command.fault {
      iommu.refuse(command.entry.prp1, length, write: write)
      return Status(.dataTransferError, doNotRetry: true)
    }
    if command.entry.dataPointer == .prp {
      return PRPWalker.walk(
        command.entry, length: length, pageShift: pageShift, write: write, iommu: &iommu, pieces: &pieces)
    }
    return SGLWalker.walk(command.entry, length: length, write: write, iommu: &iommu, pieces: &pieces)
  }

  /// Sends bytes to the host as a command's data.
  mutating func send(_ bytes: UnsafeRawBufferPointer, for command: FetchedCommand) -> Outcome {
    guard bytes.count <= maximumBytes else { return .refused(.invalidField) }
    let status = gather(command, length: bytes.count, write: true)
    guard status.isSuccess else { return .done(status, 0) }
    pieces.fill(from: bytes)
    return .success
  }

  /// Fetches the first bytes of a command's data into `scratch`.
  mutating func receive(_ length: Int, for command: FetchedCommand) -> Status {
    let status = gather(command, length: length, write: false)
    if status.isSuccess { pieces.copy(to: UnsafeMutableRawBufferPointer(rebasing: scratch[..<length])) }
    return status
  }
}
