extension Cache {
  /// Frames by number.
  var all: Range<FrameIndex> { 0..<memory.firstFrame + memory.frameCount }

  func checkInvariants(_ invariants: inout Invariants) {
    var lent = 0
    var free = 0
    for frame in all {
      let info = self[frame]
      switch info.state {
      case .free:
        if !isLent(frame) { free += 1 }
        invariants.expect(info.pins == 0, "frame \(frame) is free and kept")
      case .buffer: break
      default:
        invariants.expect(find(info.key, info.index) == frame, "frame \(frame) is not found by its key")
        switch info.state {
        case .node: invariants.expect(info.key.isNode, "frame \(frame) holds a page as a node")
        case .page: invariants.expect(!info.key.isNode, "frame \(frame) holds a node as a page")
        default: break
        }
      }
      if isLent(frame), info.state != .free {
        lent += 1
        invariants.expect(
          lentFrames(of: Int(info.lender)) > 0, "slot \(info.lender) lends frame \(frame) but counts none")
      }
    }
    invariants.expect("free frames", free, equals: freeCount)
    let counts = (0..<memory.slots).map { Int(lentFrames(of: $0)) }
    invariants.expect("frames that slots lend", counts.reduce(0, +), equals: lent)
    invariants.expect("slots that lend frames", counts.count { $0 > 0 }, equals: lendingSlots)
  }

  /// Checks that a list is linked in both directions, and calls `body` for each frame in it.
  func checkList(
    _ list: FrameList, _ name: @autoclosure () -> String, _ invariants: inout Invariants,
    _ body: (FrameIndex) -> Void
  ) {
    var count = 0
    var previous = FrameIndex.none
    var frame = list.first
    while frame != .none, count <= list.count {
      invariants.expect(self[frame].previous == previous, "\(name()): frame \(frame) does not lead back")
      body(frame)
      count += 1
      previous = frame
      frame = self[frame].next
    }
    invariants.expect(name(), count, equals: list.count)
    invariants.expect(list.last == previous, "\(name()): the last frame is another")
  }
}
