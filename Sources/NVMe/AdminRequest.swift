import NVMeSpec
import PCI

/// An admin command of a caller that must not block: one at a time, beside those of `execute`, with a data
/// page of its own.
final class AdminRequest {
  enum Stage {
    case idle
    /// Outstanding since the controller's `generation`, until `deadline` (ns, monotonic).
    case underWay(generation: UInt64, deadline: UInt64)
    /// Given up, but the controller may still write to the page.
    case abandoned(generation: UInt64)
    case ended(FinishedCommand)
  }

  let page: DMAArena
  var stage = Stage.idle
  var command = SubmissionEntry()
  /// How many bytes it returns.
  var length = 0

  init(_ page: DMAArena) { self.page = page }

  /// Records the command's end.
  func end(_ command: FinishedCommand) {
    if case .underWay = stage { stage = .ended(command) } else { stage = .idle }
  }
}

extension Controller {
  /// The most data of a request in bytes.
  public static let requestLimit = DMAArena.frameSize

  /// Whether `request` would accept a command now.
  public var canRequest: Bool {
    guard state == .ready else { return false }
    return switch pendingRequest?.stage {
    case nil, .idle: true
    case .abandoned(let life): life != generation
    case .underWay, .ended: false
    }
  }

  /// Sends an admin command and returns at once; `requestResult` returns its result.
  /// - Parameters:
  ///   - command: the command, which names no data or returns some; its data pointer is filled in.
  ///   - receiving: how many bytes it returns, at most `requestLimit`.
  /// - Throws: when the controller is not ready, or another request is outstanding.
  public func request(_ command: SubmissionEntry, receiving: Int = 0) throws(ControllerError) {
    guard canRequest else { throw failure ?? error(.notUsable) }
    let request = try openRequest()
    request.length = min(max(receiving, 0), Self.requestLimit)
    UnsafeMutableRawBufferPointer(start: request.page.base, count: request.page.size).clear()
    request.command = command
    if request.length > 0 { request.command.prp1 = request.page.address(0) }
    guard admin.post(request.command, context: AdminContext.request.rawValue) != nil else {
      throw error(.notUsable)
    }
    request.stage = .underWay(generation: generation, deadline: now + options.adminTimeout)
    admin.ring()
  }

  /// Returns the result of the outstanding request, without waiting. A result is returned once.
  /// - Returns: dword 0 of the completion and the bytes returned; nil while the request is outstanding.
  /// - Throws: the command's error, or that the controller was reset or does not answer.
  public func requestResult() throws(ControllerError) -> (result: UInt32, data: [UInt8])? {
    guard let request = pendingRequest else { return nil }
    _ = function.service(now: now)
    if state == .ready { pollAdmin() }
    switch request.stage {
    case .idle, .abandoned: return nil
    case .underWay(let life, let deadline):
      if life != generation {
        request.stage = .idle
        throw failure ?? error(.notUsable)
      }
      guard now < deadline else {
        request.stage = .abandoned(generation: life)
        throw error(.commandTimeout(after: options.adminTimeout))
      }
      return nil
    case .ended(let end):
      request.stage = .idle
      guard end.end == .succeeded else {
        throw error(.command(CommandError(queue: 0, command: request.command, ended: end)))
      }
      return (end.result, Array(UnsafeRawBufferPointer(start: request.page.base, count: request.length)))
    }
  }

  private func openRequest() throws(ControllerError) -> AdminRequest {
    if let pendingRequest { return pendingRequest }
    do throws(FunctionError) {
      let page = try DMAArena(frames: 1, name: "varve-request")
      try function.map(page)
      let request = AdminRequest(page)
      pendingRequest = request
      return request
    } catch {
      throw self.error(.function(error))
    }
  }
}
