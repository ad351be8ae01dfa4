import Block
import CMachine
import Checker
import Glibc
import PCI

/// A device as the checker wants it: blocks in any order, many reads under way at a time.
final class DeviceBlocks: BlockWriter {
  /// Frames of the device's arena, and so blocks read at a time.
  static let frames = 1024

  private let device: any BlockDevice
  private let synchronous: SynchronousDevice
  /// All frame numbers in order: neighbouring frames are a pointer into it.
  private let identity: UnsafeMutablePointer<UInt32>
  private var completions: [BlockCompletion] = []

  init(_ device: any BlockDevice) {
    self.device = device
    synchronous = SynchronousDevice(device)
    identity = .allocate(capacity: Self.frames)
    for frame in 0..<Self.frames { identity[frame] = UInt32(truncatingIfNeeded: frame) }
  }

  deinit { identity.deallocate() }

  var blockCount: UInt64 { device.blockCount }

  func read(_ blocks: UnsafeBufferPointer<UInt64>, into memory: UnsafeMutableRawPointer) -> [BlockFailure] {
    var failures: [BlockFailure] = []
    var start = 0
    while start < blocks.count {
      let end = min(start + Self.frames, blocks.count)
      readBatch(blocks, start..<end, &failures)
      (memory + start * DMAArena.frameSize)
        .copyMemory(from: device.arena.base, byteCount: (end - start) * DMAArena.frameSize)
      start = end
    }
    return failures
  }

  /// A run of neighbouring blocks is one command; the run's place in the batch and its length are the command's tag.
  private func readBatch(
    _ blocks: UnsafeBufferPointer<UInt64>, _ range: Range<Int>, _ failures: inout [BlockFailure]
  ) {
    var inFlight = 0
    var at = range.lowerBound
    while at < range.upperBound {
      var end = at + 1
      while end < range.upperBound, blocks[end] == blocks[end - 1] &+ 1 { end += 1 }
      let offset = at - range.lowerBound
      let command = BlockCommand(
        .read, block: blocks[at], count: UInt32(end - at), frames: UnsafePointer(identity + offset),
        tag: UInt64(at) << 32 | UInt64(end - at))
      while !device.submit(command) { inFlight -= reap(blocks, &failures) }
      inFlight += 1
      at = end
    }
    device.ring()
    while inFlight > 0 { inFlight -= reap(blocks, &failures) }
  }

  /// Takes what has completed, waiting a little when nothing has.
  /// - Returns: the number of commands.
  private func reap(_ blocks: UnsafeBufferPointer<UInt64>, _ failures: inout [BlockFailure]) -> Int {
    completions.removeAll(keepingCapacity: true)
    device.poll(&completions, limit: 256)
    for completion in completions where completion.errno != 0 {
      let first = Int(completion.tag >> 32)
      for index in first..<first + Int(completion.tag & 0xFFFF_FFFF) {
        failures.append(BlockFailure(block: blocks[index], errno: completion.errno))
      }
    }
    if completions.isEmpty { sched_yield() }
    return completions.count
  }

  func write(_ bytes: UnsafeRawBufferPointer, at block: UInt64) throws(BlockFailure) {
    do throws(BlockDeviceError) {
      try synchronous.write(block: block, bytes)
    } catch { throw BlockFailure(block: block, errno: error.errno) }
  }

  func flush() throws(BlockFailure) {
    do throws(BlockDeviceError) { try synchronous.flush() } catch {
      throw BlockFailure(block: 0, errno: error.errno)
    }
  }
}
