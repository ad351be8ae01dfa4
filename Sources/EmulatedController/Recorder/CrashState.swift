import NVMeSpec

/// The events of a recording that a power cut at one moment must keep, and those it may lose.
struct CrashState {
  private let recorder: Recorder
  private let namespace: UInt32
  /// Events certain to be on the medium, in the order they were carried out.
  private var durable: [RecordedEvent] = []
  /// Events that may survive whole, in part or not at all, in the order they were carried out.
  private(set) var losable: [RecordedEvent] = []

  init(_ recorder: Recorder, namespace: UInt32, moment: Int) {
    self.recorder = recorder
    self.namespace = namespace
    let seen = recorder.events.filter {
      $0.issued <= moment && ($0.namespace == namespace || $0.namespace == SubmissionEntry.allNamespaces)
    }
    // A flush covers the writes that had completed before it was fetched.
    let flushed =
      seen.filter { $0.kind == .flush && ($0.completed ?? .max) <= moment }.map(\.issued).max() ?? 0
    let changes = seen.filter { $0.kind != .flush && $0.executed != nil }
      .sorted { ($0.executed ?? 0) < ($1.executed ?? 0) }
    for event in changes {
      let completed = event.completed ?? .max
      if completed < flushed || (event.isDurable && completed <= moment) {
        durable.append(event)
      } else {
        losable.append(event)
      }
    }
  }

  /// The contents after a cut: of the changes to a block that survived, the one carried out last.
  ///
  /// Single blocks may be lost and single blocks may survive, so that every order in which a device could
  /// have brought its cache to the medium is among the outcomes.
  func image(_ cut: PowerCut) -> SparseImage {
    let index = Int(namespace) - 1
    var surviving = durable.map { ($0, [Bool]?.none) }
    for (position, event) in losable.enumerated() {
      switch cut.survivors {
      case .none: break
      case .all: surviving.append((event, nil))
      case .first(let count): if position < count { surviving.append((event, nil)) }
      case .seeded: break
      }
    }
    if case .seeded(let seed) = cut.survivors { surviving += draw(seed: seed, tears: cut.tears) }
    var image = recorder.base[index]
    for (event, blocks) in surviving.sorted(by: { ($0.0.executed ?? 0) < ($1.0.executed ?? 0) }) {
      apply(event, blocks, blockSize: recorder.blockSizes[index], to: &image)
    }
    return image
  }

  /// Draws which events survive, whole or, where they are torn, which of their blocks.
  private func draw(seed: UInt64, tears: Bool) -> [(RecordedEvent, [Bool]?)] {
    var generator = SeededGenerator(seed: seed)
    let chance = Double.random(in: 0...1, using: &generator)
    return losable.compactMap { event in
      if tears, event.count > 1, Bool.random(using: &generator) {
        let blocks = (0..<Int(clamping: event.count)).map { _ in
          Double.random(in: 0..<1, using: &generator) < chance
        }
        return (event, blocks)
      }
      return Double.random(in: 0..<1, using: &generator) < chance ? (event, nil) : nil
    }
  }

  /// Applies an event, or those of its blocks that are marked.
  private func apply(_ event: RecordedEvent, _ blocks: [Bool]?, blockSize: Int, to image: inout SparseImage) {
    let start = Int(clamping: event.block) * blockSize
    guard let blocks else {
      if event.kind == .write {
        image.replace(at: start, with: event.data)
      } else {
        image.clear(at: start, count: Int(clamping: event.count) * blockSize)
      }
      return
    }
    for index in blocks.indices where blocks[index] {
      if event.kind == .write {
        let data = event.data.dropFirst(index * blockSize).prefix(blockSize)
        image.replace(at: start + index * blockSize, with: data)
      } else {
        image.clear(at: start + index * blockSize, count: blockSize)
      }
    }
  }
}
