import NVMeSpec

/// Records what an emulated controller did to its media, so that any state a power cut could leave can be
/// rebuilt.
///
/// It is a value: a copy stays as it was while the controller goes on.
public struct Recorder: Sendable {
  /// The namespaces' contents when recording began, namespace 1 first.
  public private(set) var base: [SparseImage]
  /// The size of a logical block of each namespace, in bytes.
  public private(set) var blockSizes: [Int]
  /// Everything since, in the order it was fetched.
  public private(set) var events: [RecordedEvent] = []
  /// The last moment: how many fetches and completions were seen.
  public private(set) var now = 0
  private var executions = 0

  init(base: [SparseImage], blockSizes: [Int]) {
    self.base = base
    self.blockSizes = blockSizes
  }

  /// A command was fetched.
  /// - Returns: the index of its event.
  mutating func begin(
    _ kind: RecordedEvent.Kind, namespace: UInt32, block: UInt64, count: UInt64, isDurable: Bool
  ) -> Int {
    now += 1
    events.append(
      RecordedEvent(
        kind: kind, namespace: namespace, block: block, count: count, isDurable: isDurable, data: [],
        issued: now))
    return events.count - 1
  }

  /// Splits a deallocation into one event a range, as the ranges are known only when it is carried out.
  mutating func expand(_ index: Int, ranges: [(block: UInt64, count: UInt64)]) -> Range<Int> {
    guard let first = ranges.first else { return index..<index }
    events[index].block = first.block
    events[index].count = first.count
    let rest = events.count..<events.count + ranges.count - 1
    for range in ranges.dropFirst() {
      var event = events[index]
      event.block = range.block
      event.count = range.count
      events.append(event)
    }
    return rest
  }

  /// Records the execution of a command; `data` is that of a write.
  mutating func execute(_ index: Int, data: [UInt8] = []) {
    events[index].data = data
    events[index].executed = executions
    executions += 1
  }

  /// Records a successful completion.
  mutating func complete(_ index: Int) {
    now += 1
    events[index].completed = now
  }

  /// How many events a power cut at `moment` may lose.
  public func losable(namespace: UInt32, at moment: Int? = nil) -> Int {
    CrashState(self, namespace: namespace, moment: moment ?? now).losable.count
  }

  /// The contents of a namespace after a power cut.
  public func image(namespace: UInt32, after cut: PowerCut) -> SparseImage {
    guard namespace >= 1, Int(namespace) <= base.count else { return SparseImage(size: 0) }
    return CrashState(self, namespace: namespace, moment: cut.moment ?? now).image(cut)
  }
}
