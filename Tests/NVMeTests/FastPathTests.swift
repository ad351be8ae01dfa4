import DriverTestSupport
import EmulatedController
import Glibc
import NVMeSpec
import PCI
import TestSupport
import Testing

@testable import NVMe

/// Commands to a controller with mapped registers that runs by itself, as hardware does: nearly all of them
/// take the fast path, and all other cases must take the slow one.
@Suite struct FastPathTests {
  /// A ready controller, whose queue pairs take the fast path where the kernel uses the processor's counter
  /// as its clock.
  private final class Bench {
    let machine: TestMachine
    let function: MappedController
    let controller: Controller

    init(_ configure: (inout EmulatedController.Configuration) -> Void = { _ in }) throws {
      machine = try TestMachine(blocks: 64, configure)
      function = try MappedController(machine.device, needsService: false)
      machine.options.time = .system
      machine.options.queueEntries = 16
      controller = try Controller.open(function, options: machine.options)
    }

    /// A queue pair that has measured the rate of the counter.
    func makeQueuePair() throws -> QueuePair {
      var queue = try controller.makeQueuePair()
      usleep(12_000)
      queue.readClock()
      controller.poll(&queue, limit: 1)
      return queue
    }

    /// Runs the controller, in place of hardware.
    func work() { _ = function.service(now: TimeSource.system.now()) }
  }

  private func post(_ queue: inout QueuePair, _ block: UInt64, _ context: UInt64, _ arena: DMAArena) -> Bool {
    var frame = UInt32(context % UInt64(arena.frameCount))
    return queue.postTransfer(
      .read, namespace: 1, lba: block, lbaCount: 1, forceUnitAccess: false, frames: &frame, count: 1,
      base: arena.iova, context: context)
  }

  @Test func aQueuePairOfMappedRegistersHasTheFastPath() throws {
    let bench = try Bench()
    var queue = try bench.makeQueuePair()
    #expect(queue.fastPathGeneration == bench.controller.fastPathGeneration)
    #expect(!Clock.counterIsSound || queue.fastPathEnd > 0)
    queue.startTrace(capacity: 8)
    #expect(queue.fastPathGeneration != bench.controller.fastPathGeneration)
    queue.stopTrace()
    bench.controller.reset()
    #expect(queue.fastPathGeneration != bench.controller.fastPathGeneration)
    bench.controller.waitForReset()
    bench.controller.poll(&queue, limit: 1)
    #expect(queue.fastPathGeneration == bench.controller.fastPathGeneration)
    bench.controller.delete(queue)
    bench.controller.close()
  }

  /// Any number of commands at a time, polled with any limit, among completions that belong to no command,
  /// are duplicates or errors, or have a wrong head: each command ends once, with the right status.
  @Test(arguments: 1...6 as ClosedRange<UInt64>)
  func everyCommandEndsOnceAsItShould(seed: UInt64) throws {
    var random = SplitMix(seed: seed)
    let bench = try Bench()
    var queue = try bench.makeQueuePair()
    let arena = try DMAArena(frames: 16)
    try bench.function.map(arena)
    let refused = Status(.unrecoveredReadError, doNotRetry: true)
    var (next, awaited, errors): (UInt64, Set<UInt64>, UInt64) = (0, [], 0)
    for _ in 0..<400 {
      // The last block cannot be read.
      for _ in 0..<Int.random(in: 0...6, using: &random) {
        let block = UInt64.random(in: 0...63, using: &random)
        guard post(&queue, block, next << 8 | block, arena) else { break }
        awaited.insert(next << 8 | block)
        next += 1
      }
      bench.controller.ring(&queue)
      bench.machine.device.faultRules =
        switch Int.random(in: 0...7, using: &random) {
        case 0:
          [
            FaultRule(io: .read, blocks: 63..<64, .status(refused)),
            FaultRule(io: .read, .duplicateCompletion, limit: 1),
          ]
        case 1:
          [
            FaultRule(io: .read, blocks: 63..<64, .status(refused)),
            FaultRule(io: .read, .completeWithHead(.max), limit: 1),
          ]
        default: [FaultRule(io: .read, blocks: 63..<64, .status(refused))]
        }
      bench.work()
      for _ in 0..<Int.random(in: 0...3, using: &random) {
        bench.controller.poll(&queue, limit: Int.random(in: -1...20, using: &random))
        for end in queue.takeFinished() {
          #expect(awaited.remove(end.context) != nil)
          #expect(end.end == (end.context & 0xff == 63 ? .failed : .succeeded))
          if end.end == .failed {
            #expect(end.status == refused)
            errors += 1
          }
        }
      }
    }
    bench.machine.device.faultRules = [FaultRule(io: .read, blocks: 63..<64, .status(refused))]
    for _ in 0..<64 where !awaited.isEmpty {
      bench.controller.ring(&queue)
      bench.work()
      bench.controller.poll(&queue, limit: 16)
      for end in queue.takeFinished() {
        #expect(awaited.remove(end.context) != nil)
        if end.end == .failed { errors += 1 }
      }
    }
    #expect(awaited.isEmpty && queue.inFlight == 0 && queue.underWay == 0)
    #expect(queue.counters.submitted == next && queue.counters.completed == next)
    #expect(queue.counters.errors == errors && errors > 0)
    #expect(queue.counters.badCommandIDs > 0 && queue.counters.badQueueHeads > 0)
    #expect(bench.controller.counters.resets == 0)
    bench.controller.delete(queue)
    bench.function.unmap(arena)
    bench.controller.close()
  }

  /// A pair that was polled during the controller's reset, and again only after another pair's polls had
  /// completed the bring-up.
  @Test func everyQueuePairComesBackAfterAReset() throws {
    let machine = try TestMachine()
    let controller = try machine.open()
    var first = try controller.makeQueuePair()
    var second = try controller.makeQueuePair()
    let arena = try DMAArena(frames: 16)
    try machine.device.map(arena)
    controller.reset()
    while controller.state != .ready {
      controller.poll(&second, limit: 1)
      guard controller.state != .ready else { break }
      controller.poll(&first, limit: 1)
      machine.time.pass(1_000_000)
    }
    for _ in 0..<2 {
      controller.poll(&first, limit: 1)
      controller.poll(&second, limit: 1)
    }
    #expect(first.isOnline && second.isOnline)
    #expect(post(&first, 1, 1, arena) && post(&second, 2, 2, arena))
    controller.delete(first)
    controller.delete(second)
    machine.device.unmap(arena)
    controller.close()
  }
}
