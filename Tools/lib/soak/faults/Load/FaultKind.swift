import EmulatedController
import NVMeSpec

/// What a controller can be made to do wrong while a load runs.
public enum FaultKind: String, CaseIterable, Sendable {
  case retryableStatus = "retryable status"
  case finalStatus = "final status"
  case slowCommand = "slow command"
  case hungCommand = "hung command"
  case lostCompletion = "lost completion"
  case lateCompletion = "late completion"
  case duplicateCompletion = "duplicated completion"
  case wrongIdentifier = "wrong command identifier"
  case spuriousCompletion = "completion for nothing"
  case wrongQueueHead = "wrong queue head"
  case wrongPhase = "wrong phase tag"
  case refusedDMA = "DMA fault"
  case fatal = "fatal status (CFS)"
  case resetItself = "spontaneous reset"
  case powerLoss = "power loss"
  case stuckEnable = "RDY stuck at 0"
  case stuckDisable = "RDY stuck at 1"
  case fatalEnable = "CFS at enabling"
  case lostAbort = "lost Abort"
  case lostAdmin = "lost admin completion"
  case failedReset = "failed function reset"
  case linkLoss = "link loss"
  case removal = "removal"

  private static let second: UInt64 = 1_000_000_000

  /// The rules that bring it about.
  ///
  /// - Parameter random: decides which command it befalls, and how hard.
  func rules(_ random: inout some RandomNumberGenerator) -> [FaultRule] {
    let opcodes: [IOOpcode?] = [nil, nil, .read, .write, .flush]
    let opcode = opcodes.randomElement(using: &random) ?? nil
    let skipping = Int.random(in: 0..<6, using: &random)
    let times = Int.random(in: 1...3, using: &random)
    func io(_ action: FaultAction, limit: Int = 1) -> FaultRule {
      FaultRule(io: opcode, action, skipping: skipping, limit: limit)
    }
    switch self {
    case .retryableStatus:
      return [
        io(.status(Self.status(&random, doNotRetry: false)), limit: Int.random(in: 1...8, using: &random))
      ]
    case .finalStatus: return [io(.status(Self.status(&random, doNotRetry: true)))]
    case .slowCommand: return [io(.delay(UInt64.random(in: 1...29 * Self.second, using: &random)))]
    case .hungCommand: return [io(.delay(1000 * Self.second), limit: times)]
    case .lostCompletion: return [io(.loseCompletion, limit: times)]
    case .lateCompletion: return [io(.completeLate(UInt64.random(in: 1...60 * Self.second, using: &random)))]
    case .duplicateCompletion: return [io(.duplicateCompletion, limit: times)]
    case .wrongIdentifier: return [io(.completeAs(identifier: Self.foreignIdentifier(&random)))]
    case .spuriousCompletion: return [io(.addCompletion(identifier: Self.foreignIdentifier(&random)))]
    case .wrongQueueHead: return [io(.completeWithHead(UInt16.random(in: 0...UInt16.max, using: &random)))]
    case .wrongPhase: return [io(.invertPhase)]
    case .refusedDMA: return [io(.refuseDMA)]
    case .fatal: return [io(.fatal)]
    case .resetItself: return [io(.resetItself)]
    case .powerLoss: return [io(.losePower)]
    case .stuckEnable: return [io(.fatal), FaultRule(.enable, .stuck, limit: times)]
    case .stuckDisable: return [io(.loseCompletion), FaultRule(.disable, .stuck, limit: times)]
    case .fatalEnable: return [io(.fatal), FaultRule(.enable, .fatal, limit: times)]
    case .lostAbort: return [io(.loseCompletion), FaultRule(admin: .abort, .loseCompletion, limit: times)]
    case .lostAdmin:
      return [
        io(.resetItself),
        FaultRule(
          admin: nil, .loseCompletion, skipping: Int.random(in: 0..<12, using: &random), limit: 1),
      ]
    case .failedReset:
      return [
        io(.loseCompletion), FaultRule(.disable, .stuck, limit: 1),
        FaultRule(.functionReset, .stuck, limit: times),
      ]
    case .linkLoss:
      let duration = UInt64.random(in: Self.second / 10...20 * Self.second, using: &random)
      return [io(.dropLink(duration, resets: Bool.random(using: &random)))]
    case .removal: return [io(.remove)]
    }
  }

  /// An identifier that no command in flight has: its index lies beyond any queue the load makes.
  private static func foreignIdentifier(_ random: inout some RandomNumberGenerator) -> UInt16 {
    0x800 | UInt16.random(in: 0...UInt16.max, using: &random)
  }

  private static func status(_ random: inout some RandomNumberGenerator, doNotRetry: Bool) -> Status {
    let code = StatusCode.all.filter { $0 != .success }.randomElement(using: &random) ?? .internalError
    return Status(code, doNotRetry: doNotRetry, retryDelay: UInt8.random(in: 0...3, using: &random))
  }
}
