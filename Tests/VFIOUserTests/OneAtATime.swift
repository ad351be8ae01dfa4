import Testing

/// Runs tests of suites with this trait one at a time. The number of blocked closes is counted for the whole
/// process, and at the limit it accepts no descriptors from any peer: the test of that would make others
/// fail.
struct OneAtATime: SuiteTrait, TestTrait, TestScoping {
  private actor Turn {
    private var isTaken = false
    private var waiting: [CheckedContinuation<Void, Never>] = []

    func take() async {
      guard isTaken else { return isTaken = true }
      await withCheckedContinuation { waiting.append($0) }
    }

    func give() {
      if waiting.isEmpty { isTaken = false } else { waiting.removeFirst().resume() }
    }
  }

  private static let turn = Turn()

  var isRecursive: Bool { true }

  func provideScope(
    for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
  ) async throws {
    await Self.turn.take()
    do {
      try await function()
    } catch {
      await Self.turn.give()
      throw error
    }
    await Self.turn.give()
  }
}

extension Trait where Self == OneAtATime {
  static var oneAtATime: Self { Self() }
}
