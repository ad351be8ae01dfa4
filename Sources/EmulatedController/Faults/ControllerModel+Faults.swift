import CMachine
import NVMeSpec

/// The faults that act on the controller rather than on a command's status.
extension ControllerModel {
  /// Changes the completion entry that was just posted for a command, as its fault rule says.
  mutating func spoilCompletion(of command: FetchedCommand) {
    let head: UInt16?
    switch command.fault {
    case .completeWithHead(let value): head = value
    case .invertPhase: head = nil
    default: return
    }
    let queue = Int(queues.submission[Int(command.queue)].completionQueue)
    // An entry that waits for room, or whose queue is no longer mapped, is left unchanged.
    guard !queues.completion[queue].isStalled, let memory = queues.completion[queue].memory else { return }
    let tail = queues.completion[queue].tail
    let last = Int(tail == 0 ? queues.completion[queue].entries - 1 : tail - 1)
    let word = memory + last * CompletionEntry.size + 8
    if let head {
      cm_store64(word, cm_load64(word) & ~0xffff | UInt64(head))
    } else {
      cm_store64(word, cm_load64(word) ^ 1 << 48)
    }
  }

  /// Another controller takes this one's place.
  mutating func replace(_ serialNumber: String) {
    configuration.serialNumber = serialNumber
    resetFunction()
  }

  /// Cuts the power and brings it back.
  mutating func losePower() {
    if records { return cutPower(PowerCut()) }
    countPowerCut()
    resetFunction()
  }
}
