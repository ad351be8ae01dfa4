import BlockProtocol
import Format

/// The end of a checkpoint: the usage table, the pack, and what comes free once both are durable.
extension FileSystem {
  /// Writes changed usage blocks to the copies that the last checkpoint does not use.
  func writeUsage() -> Bool {
    guard checkpoint.writesInFlight == 0 else { return false }
    giveBackBuffers()
    var written = 0
    while checkpoint.usageCursor < checkpoint.usage.count, written < 64 {
      let block = checkpoint.usageCursor
      checkpoint.usageCursor += 1
      guard usage.dirtyBlocks[block] else { continue }
      let frame = cache.takeBuffer()
      guard frame != .none else {
        checkpoint.usageCursor -= 1
        return written > 0
      }
      let page = cache.page(frame)
      usage.store(page, block: block)
      let copy = 1 - checkpoint.usage[block].copy
      checkpoint.usage[block] = CheckpointPack.UsageSelection(checksum: checksum.of(page), copy: copy)
      checkpoint.buffers.append(frame)
      writeForCheckpoint(
        geometry.usageBlock(UInt32(block), copy: copy), identity + Int(frame), count: 1)
      written += 1
    }
    guard written == 0 else { return true }
    checkpoint.phase = .firstFlush
    flushForCheckpoint()
    return true
  }

  private func writeForCheckpoint(_ block: UInt64, _ frames: UnsafePointer<UInt32>, count: Int) {
    checkpoint.writesInFlight += 1
    effects.commands.append(
      BlockCommand(
        .write, block: block, count: UInt32(truncatingIfNeeded: count), frames: frames,
        tag: Tag(.checkpoint).raw))
  }

  private func flushForCheckpoint() {
    checkpoint.writesInFlight += 1
    guard hasVolatileCache else { return checkpointWriteEnded(0) }
    counters.flushes += 1
    effects.commands.append(BlockCommand(.flush, tag: Tag(.checkpoint).raw))
  }

  private func giveBackBuffers() {
    for frame in checkpoint.buffers { cache.giveBack(frame) }
    checkpoint.buffers.removeAll(keepingCapacity: true)
  }

  /// A write or flush of the checkpoint itself has ended.
  func checkpointWriteEnded(_ code: Int32) {
    checkpoint.writesInFlight -= 1
    if code != 0 { checkpoint.hasFailed = true }
    guard checkpoint.writesInFlight == 0 else { return }
    if checkpoint.hasFailed {
      giveBackBuffers()
      return fail("a checkpoint could not be written (\(Code.text(code)))", .write, code)
    }
    switch checkpoint.phase {
    case .firstFlush:
      giveBackBuffers()
      checkpoint.phase = .pack
      writePack()
    case .pack:
      checkpoint.phase = .lastFlush
      flushForCheckpoint()
    case .lastFlush:
      giveBackBuffers()
      checkpointEnded()
    default: break
    }
  }

  private func writePack() {
    let blocks = Int(geometry.packBlocks)
    guard cache.reserve(blocks) else { return fail("no memory to write a checkpoint") }
    checkpoint.pack.usage = checkpoint.usage
    let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: blocks * Page.size, alignment: 16)
    defer { bytes.deallocate() }
    checkpoint.pack.encode(into: bytes, geometry: geometry, nonce: nonce)
    checkpoint.packFrames.removeAll(keepingCapacity: true)
    for block in 0..<blocks {
      let frame = cache.takeBuffer()
      let part = UnsafeRawBufferPointer(rebasing: bytes[block * Page.size..<(block + 1) * Page.size])
      cache.page(frame).copy(part, at: 0)
      checkpoint.buffers.append(frame)
      checkpoint.packFrames.append(frame)
    }
    let slot = Int(checkpoint.pack.sequence & 1)
    checkpoint.packCommandFrames.update(checkpoint.packFrames)
    writeForCheckpoint(
      geometry.packBlock(slot: slot, copy: 0), checkpoint.packCommandFrames.pointer, count: blocks)
    writeForCheckpoint(
      geometry.packBlock(slot: slot, copy: 1), checkpoint.packCommandFrames.pointer, count: blocks)
  }

  /// The checkpoint is durable.
  private func checkpointEnded() {
    checkpoint.phase = .idle
    checkpoint.durable = checkpoint.pack.sequence
    counters.checkpoints += 1
    cleaner.exhaustedAt = nil
    let sequence = checkpoint.pack.log.sequence
    if checkpoint.durable <= checkpoint.chainSince {
      checkpoint.isWanted = true
    } else if !log.failed.isEmpty {
      log.failed.removeAll { $0 < sequence }
    }
    if checkpoint.durable >= cleaner.waitsFor { cleaner.cleaned.removeAll(keepingCapacity: true) }
    // Log writes of the new chain may have ended while those of the old one held them back.
    noteFlushed(max(sequence - 1, hasVolatileCache ? log.flushedThrough : log.completedThrough))
    usage.release()
    wakeDurable()
    // Log writes that were held back until now may wait for a flush.
    flushIfWanted()
    wakeStalled()
  }

  /// Segments released in a step, and discards at the device at a time.
  private static let releasesPerStep = 64
  private static let discardsAtATime = 256

  /// Gives up some of the segments that no checkpoint needs: each is free once the device has forgotten it.
  func releaseStep() -> Bool {
    var count = 0
    while count < Self.releasesPerStep, checkpoint.discarding < Self.discardsAtATime,
      let segment = usage.nextReleased()
    {
      release(segment)
      count += 1
    }
    if count > 0, checkpoint.discarding == 0 { wakeStalled() }
    return count > 0
  }

  private func release(_ segment: UInt32) {
    guard canDiscard, options.discards else { return usage.free(segment) }
    checkpoint.discarding += 1
    effects.commands.append(
      BlockCommand(
        .discard, block: geometry.segmentBlock(segment), count: geometry.segmentBlocks,
        tag: Tag(.discard, UInt64(segment)).raw))
  }

  /// A discard is a hint: when it fails the segment is free all the same.
  func discardEnded(_ segment: UInt32) {
    checkpoint.discarding -= 1
    usage.free(segment)
    wakeStalled()
  }
}
