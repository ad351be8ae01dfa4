import Block
import BlockProtocol
import Glibc
import NVMe
import NVMeSpec

// driver-bench LAYER BATCH COUNT: reads COUNT blocks in batches of BATCH against a device that does nothing, so
// that a profiler sees the driver's own cost. LAYER is `queue` (a queue pair) or `block` (a namespace device).

/// Submits and completes `count` reads of one block through a block device.
@inline(never)
func driveBlockDevice(_ null: NullController, _ device: NamespaceDevice, batch: Int, count: Int) {
  var frames = (0..<UInt32(batch)).map { $0 }
  var completions: [BlockCompletion] = []
  completions.reserveCapacity(batch)
  frames.withUnsafeMutableBufferPointer { frames in
    guard let frames = frames.baseAddress else { return }
    var done = 0
    while done < count {
      for index in 0..<batch {
        let command = BlockCommand(
          .read, block: UInt64(done + index), count: 1, frames: UnsafePointer(frames + index),
          tag: UInt64(index))
        guard device.submit(command) else { return }
      }
      device.ring()
      _ = null.service(now: 0)
      completions.removeAll(keepingCapacity: true)
      while completions.count < batch { device.poll(&completions, limit: batch) }
      done += batch
    }
  }
}

/// The same through a queue pair.
@inline(never)
func driveQueuePair(
  _ null: NullController, _ controller: Controller, _ queue: inout QueuePair, batch: Int, count: Int
) {
  if batch == 1 { return driveQueuePairSingly(null, controller, &queue, count: count) }
  let read = IOOpcode.read
  var frame: UInt32 = 0
  var done = 0
  while done < count {
    for index in 0..<batch {
      guard post(&queue, read, UInt64(truncatingIfNeeded: done &+ index), &frame) else { return }
    }
    controller.ring(&queue)
    _ = null.service(now: 0)
    var awaited = batch
    while awaited > 0 {
      controller.poll(&queue, limit: batch)
      awaited &-= queue.takeFinished().count
    }
    done &+= batch
  }
}

/// One command at a time: posted, rung, polled for.
@inline(__always)
private func driveQueuePairSingly(
  _ null: NullController, _ controller: Controller, _ queue: inout QueuePair, count: Int
) {
  let read = IOOpcode.read
  var frame: UInt32 = 0
  var lba: UInt64 = 0
  while lba < count {
    guard post(&queue, read, lba, &frame) else { return }
    controller.ring(&queue)
    _ = null.service(now: 0)
    repeat { controller.poll(&queue, limit: 1) } while queue.takeFinished().isEmpty
    lba &+= 1
  }
}

/// Puts a read of one block into the submission queue.
@inline(__always)
private func post(_ queue: inout QueuePair, _ read: IOOpcode, _ lba: UInt64, _ frame: UnsafePointer<UInt32>)
  -> Bool
{
  queue.postTransfer(
    read, namespace: 1, lba: lba, lbaCount: 1, forceUnitAccess: false, frames: frame, count: 1,
    base: 4096, context: lba)
}

let arguments = CommandLine.arguments
/// Until a queue pair knows the rate of the processor's clock (us).
let settlingTime: UInt32 = 20_000
guard arguments.count == 4, let batch = Int(arguments[2]), let count = Int(arguments[3]), batch > 0,
  arguments[1] == "queue" || arguments[1] == "block"
else {
  print("usage: driver-bench queue|block BATCH COUNT")
  exit(16)
}
do {
  let null = NullController()
  let controller = try Controller.open(null)
  if arguments[1] == "queue" {
    var queue = try controller.makeQueuePair()
    usleep(settlingTime)
    driveQueuePair(null, controller, &queue, batch: batch, count: count)
    controller.delete(queue)
    controller.close()
  } else {
    let device = try NamespaceDevice(controller: controller, namespace: 1, arenaFrames: 64)
    usleep(settlingTime)
    driveBlockDevice(null, device, batch: batch, count: count)
    device.close()
  }
} catch {
  print("driver-bench: \(error)")
  exit(1)
}
