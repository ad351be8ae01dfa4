import DriverTestSupport
import NVMeSpec
import PCI
import TestSupport
import Testing

@testable import NVMe

/// Nothing a controller says or does traps or hangs the driver: it errs, or it goes on.
@Suite struct HostileControllerTests {
  @Test(arguments: [UInt64(0), 8, 13, 15]) func isSurvived(_ honesty: UInt64) throws {
    var opened = 0
    for seed in UInt64(0)..<150 {
      let device = HostileController(seed: seed * 31 + honesty, honesty: honesty)
      let time = TestTime()
      var options = ControllerOptions()
      options.time = TimeSource(now: { time.now }, sleep: { time.pass($0) })
      options.adminTimeout = 20_000_000
      options.commandTimeout = 200_000_000
      options.abortTimeout = 20_000_000
      guard let controller = try? Controller.open(device, options: options) else { continue }
      opened += 1
      for namespace in controller.namespaces {
        _ = (namespace.obstacle, namespace.uuid, namespace.metadataSize)
      }
      _ = try? controller.readLog(.smart, length: SMARTLog.size)
      if var queue = try? controller.makeQueuePair() {
        drive(controller, &queue, time)
        controller.delete(queue)
      }
      controller.close()
      #expect(controller.state == .closed)
    }
    #expect(honesty < 15 || opened > 0)
  }

  /// Reads until everything has ended or the controller is given up.
  private func drive(_ controller: Controller, _ queue: inout QueuePair, _ time: TestTime) {
    let frames: [UInt32] = Array(0..<600)
    var posted = 0
    var ended = 0
    for _ in 0..<40 {
      let count = Int(min(controller.capabilities.transferFrames, UInt32(posted % 500 + 1)))
      if queue.postTransfer(
        .read, namespace: 1, lba: 0, lbaCount: 1, forceUnitAccess: false, frames: frames, count: count,
        base: 0, context: 1)
      {
        posted += 1
      }
    }
    for _ in 0..<20_000 where ended < posted {
      controller.poll(&queue, limit: 8)
      ended += queue.takeFinished().count
      time.now = max(time.now, min(controller.nextDeadline(of: queue), time.now + 1_000_000_000))
    }
    #expect(ended == posted, "\(ended) of \(posted) commands ended in state \(controller.state)")
  }
}
