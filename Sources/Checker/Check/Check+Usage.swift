import Format

extension Check {
  /// Reads the usage table that the checkpoint selects.
  func checkUsageBlocks() {
    usage = Array(repeating: nil, count: Int(geometry.segmentCount))
    for (index, selection) in pack.usage.enumerated() {
      buffers.withBuffer { memory in
        let page = Page(memory)
        let block = geometry.usageBlock(UInt32(index), copy: selection.copy)
        guard reader.read(block: block, count: 1, into: memory).isEmpty,
          checksum.of(page) == selection.checksum
        else {
          note(
            Finding(
              .usageBlock, .inconsistency, .usageBlock(UInt32(index)), "is damaged, block \(block)",
              repairs: [.newCheckpoint], isSafe: true))
          return
        }
        let first = index * Int(Geometry.usagePerBlock)
        for offset in 0..<min(Int(Geometry.usagePerBlock), usage.count - first) {
          usage[first + offset] = UsageEntry(page, index: offset)
        }
      }
    }
  }

  /// Compares the usage table with the live blocks found, and checks the checkpoint's counts and log
  /// position.
  func checkSpace() {
    report.liveBlocks = claims.total
    for segment in usage.indices { checkUsage(UInt32(segment)) }
    checkLogPosition()
    guard isWhole, promisedBlocks != pack.reservedBlocks else { return }
    note(
      Finding(
        .reservedBlocks, .inconsistency, .checkpoint,
        "\(pack.reservedBlocks) blocks reserved for files, counted \(promisedBlocks)",
        repairs: [.newCheckpoint],
        isSafe: true))
  }

  private func checkUsage(_ segment: UInt32) {
    guard let entry = usage[Int(segment)] else { return }
    if entry.state == .free { report.freeSegments += 1 }
    let live = claims.live[Int(segment)]
    // Damaged nodes may have referred to further blocks: more may be live than were found, never fewer.
    let isRight = isWhole ? entry.live == live : entry.live >= live
    if !isRight {
      noteUsage(segment, "\(entry.live) live blocks, counted \(live)")
    } else if entry.state == .free, entry.live > 0 {
      noteUsage(segment, "free, but \(entry.live) blocks live in it")
    }
  }

  private func noteUsage(_ segment: UInt32, _ detail: String) {
    note(
      Finding(
        .usage, .inconsistency, .segment(segment), detail, repairs: [.newCheckpoint], isSafe: true))
  }

  /// The log's next header must lie neither on a live block nor in a free segment.
  private func checkLogPosition() {
    let log = pack.log
    guard let segment = geometry.segment(of: log.block) else { return }
    for (segment, what) in [(segment, "the log goes on in it"), (log.nextSegment, "the log goes there next")]
    where usage[Int(segment)]?.state == .free {
      note(
        Finding(
          .logPosition, .inconsistency, .segment(segment), "free, but \(what)", repairs: [.newCheckpoint],
          isSafe: true))
    }
  }
}
