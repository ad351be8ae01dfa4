/// What a reactor knows of those who send its requests: whether they wait for each answer, one at a time.
struct Callers {
  /// The requests that are not answered yet.
  private(set) var unanswered = 0
  /// The process of the last request; 0 where the kernel does not say.
  private(set) var process: UInt32 = 0
  /// The requests since they were last taken: those that came alone from the same process as the one before, and
  /// all others.
  private(set) var lone = 0
  private(set) var crowded = 0

  /// Counts a request.
  @inline(__always)
  mutating func receive(from process: UInt32) {
    if unanswered == 0 && process == self.process && process != 0 { lone &+= 1 } else { crowded &+= 1 }
    unanswered += 1
    self.process = process
  }

  /// Counts answers.
  @inline(__always)
  mutating func answer(_ count: Int) { unanswered -= count }

  /// Begins to count requests anew.
  mutating func take() {
    lone = 0
    crowded = 0
  }
}
