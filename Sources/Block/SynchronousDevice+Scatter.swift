import BlockProtocol

extension SynchronousDevice {
  /// Reads blocks from anywhere on the device into consecutive blocks of `memory`, as many at once as the
  /// arena holds.
  ///
  /// A block that cannot be read does not stop the others.
  /// - Returns: the blocks that could not be read, each with its errno.
  public func read(
    _ blocks: UnsafeBufferPointer<UInt64>, into memory: UnsafeMutableRawPointer
  ) -> [(block: UInt64, errno: Int32)] {
    var failures: [(block: UInt64, errno: Int32)] = []
    for start in stride(from: 0, to: blocks.count, by: chunk) {
      let end = min(start + chunk, blocks.count)
      let part = UnsafeBufferPointer(rebasing: blocks[start..<end])
      failures += readPart(part, into: memory + start * Self.blockSize)
    }
    return failures
  }

  /// Reads at most `chunk` blocks; blocks adjacent on the device share a command.
  private func readPart(
    _ blocks: UnsafeBufferPointer<UInt64>, into memory: UnsafeMutableRawPointer
  ) -> [(block: UInt64, errno: Int32)] {
    var failures: [(block: UInt64, errno: Int32)] = []
    var again: [Int] = []
    for run in carryOut(Self.runs(of: blocks), blocks) {
      if run.range.count == 1 {
        failures.append((blocks[run.range.lowerBound], run.errno))
      } else {
        again += run.range
      }
    }
    // The blocks of failed runs are read one by one, to find which of them fail.
    for run in carryOut(again.map { $0..<$0 + 1 }, blocks) {
      failures.append((blocks[run.range.lowerBound], run.errno))
    }
    let length = blocks.count * Self.blockSize
    UnsafeMutableRawBufferPointer(start: memory, count: length)
      .copyMemory(from: UnsafeRawBufferPointer(rebasing: device.frameMemory[..<length]))
    return failures
  }

  /// The ranges of `blocks` that are adjacent on the device.
  private static func runs(of blocks: UnsafeBufferPointer<UInt64>) -> [Range<Int>] {
    var runs: [Range<Int>] = []
    var start = 0
    for index in blocks.indices where index + 1 == blocks.count || blocks[index + 1] != blocks[index] &+ 1 {
      runs.append(start..<index + 1)
      start = index + 1
    }
    return runs
  }

  /// Reads all runs at once, each into the frames of its indices.
  /// - Returns: the runs that failed, with their errno.
  private func carryOut(
    _ runs: [Range<Int>], _ blocks: UnsafeBufferPointer<UInt64>
  ) -> [(range: Range<Int>, errno: Int32)] {
    var failed: [(range: Range<Int>, errno: Int32)] = []
    var completions: [BlockCompletion] = []
    var next = 0
    var ended = 0
    while ended < runs.count {
      while next < runs.count {
        let run = runs[next]
        let command = BlockCommand(
          .read, block: blocks[run.lowerBound], count: UInt32(run.count),
          frames: UnsafePointer(frames + run.lowerBound), tag: UInt64(next))
        guard device.submit(command) else { break }
        next += 1
      }
      device.ring()
      device.poll(&completions, limit: 64)
      for completion in completions {
        guard completion.errno != 0, completion.tag < UInt64(runs.count) else { continue }
        failed.append((runs[Int(completion.tag)], completion.errno))
      }
      ended += completions.count
      if completions.isEmpty { sleep() }
      completions.removeAll(keepingCapacity: true)
    }
    return failed
  }
}
