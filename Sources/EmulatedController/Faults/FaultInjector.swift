import NVMeSpec

/// Applies the fault rules.
struct FaultInjector {
  private var rules: [(rule: FaultRule, matches: Int)] = []
  /// How often a rule has acted.
  private(set) var shown = 0
  /// Whether there is any rule.
  private(set) var isArmed = false

  /// Replaces the rules; their counts restart.
  mutating func replace(_ rules: [FaultRule]) {
    self.rules = rules.map { ($0, 0) }
    isArmed = !rules.isEmpty
  }

  /// The rules in force.
  var current: [FaultRule] { rules.map(\.rule) }

  /// What happens to a command as it is fetched.
  mutating func action(for entry: SubmissionEntry, queue: UInt16) -> FaultAction {
    firstAction { trigger in
      guard case .command(let match) = trigger else { return false }
      return match.includes(entry, queue: queue)
    }
  }

  /// What happens when the controller is enabled.
  mutating func actionOnEnable() -> FaultAction {
    firstAction { if case .enable = $0 { true } else { false } }
  }

  /// What happens when the controller is disabled.
  mutating func actionOnDisable() -> FaultAction {
    firstAction { if case .disable = $0 { true } else { false } }
  }

  /// What happens at a shutdown notification.
  mutating func actionOnShutdown() -> FaultAction {
    firstAction { if case .shutdown = $0 { true } else { false } }
  }

  /// What happens at a function-level reset.
  mutating func actionOnFunctionReset() -> FaultAction {
    firstAction { if case .functionReset = $0 { true } else { false } }
  }

  private mutating func firstAction(_ triggers: (FaultRule.Trigger) -> Bool) -> FaultAction {
    for index in rules.indices where triggers(rules[index].rule.trigger) {
      let rule = rules[index].rule
      rules[index].matches += 1
      let acted = rules[index].matches - rule.skipping
      if acted > 0, acted <= rule.limit ?? .max {
        shown += 1
        return rule.action
      }
    }
    return .none
  }
}

extension CommandMatch {
  /// Whether a command matches.
  func includes(_ entry: SubmissionEntry, queue number: UInt16) -> Bool {
    switch queue {
    case .any: break
    case .admin: if number != 0 { return false }
    case .io: if number == 0 { return false }
    }
    if let opcode, opcode != entry.opcode { return false }
    if let namespace, namespace != entry.namespace { return false }
    guard let blocks else { return true }
    guard number != 0, Self.hasBlockRange(entry.opcode) else { return false }
    let end = entry.startingBlock.saturatingAdd(UInt64(entry.blockCount))
    return entry.startingBlock < blocks.upperBound && end > blocks.lowerBound
  }

  private static func hasBlockRange(_ opcode: UInt8) -> Bool {
    let opcodes: [IOOpcode] = [.read, .write, .compare, .verify, .writeZeroes, .writeUncorrectable]
    return opcodes.contains(IOOpcode(rawValue: opcode))
  }
}
