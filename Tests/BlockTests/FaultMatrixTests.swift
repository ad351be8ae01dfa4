@testable import Block
import BlockProtocol
import CMachine
import DriverTestSupport
import EmulatedController
import Glibc
import NVMe
import NVMeSpec
import PCI
import Testing

/// Every status that a controller can return, on every command that the driver sends: the result for the
/// caller.
@Suite struct FaultMatrixTests {
  /// The errno of a status code in Linux' `nvme_error_status` and block layer, by the specification's
  /// numbers.
  private static func errno(_ code: UInt16) -> Int32 {
    switch code {
    case 0x081: ENOSPC
    case 0x021, 0x080, 0x082: EREMOTEIO
    case 0x001, 0x002, 0x00b, 0x180: EOPNOTSUPP
    case 0x182, 0x280, 0x281, 0x285, 0x286, 0x287: ENODATA
    case 0x181, 0x282, 0x283, 0x284: EILSEQ
    case 0x083: EBADE
    case 0x370: ENOLINK
    case 0x1bd: EOVERFLOW
    case 0x1be: ETOOMANYREFS
    default: EIO
    }
  }

  /// Asymmetric Access Persistent Loss, the one code that is final although the controller allows a retry.
  private static let persistentLoss: UInt16 = 0x301
  /// Every value of SCT and SC but success, with a name or without.
  private static let codes = (UInt16(1)...0x7ff).map(StatusCode.init)

  struct Command: Sendable, CustomTestStringConvertible {
    let operation: BlockCommand.Operation
    let opcode: IOOpcode
    var testDescription: String { opcode.description }
  }

  private static let commands = [
    Command(operation: .read, opcode: .read), Command(operation: .write, opcode: .write),
    Command(operation: .flush, opcode: .flush), Command(operation: .discard, opcode: .datasetManagement),
    Command(operation: .writeZeroes, opcode: .writeZeroes), Command(operation: .verify, opcode: .verify),
    Command(operation: .compare, opcode: .compare),
  ]

  @Test(arguments: commands) func ofAnIOCommand(_ command: Command) throws {
    let machine = try TestMachine()
    let device = try machine.openDevice()
    var frame: UInt32 = 0
    var completions: [BlockCompletion] = []

    func run() -> Int32? {
      completions.removeAll(keepingCapacity: true)
      guard device.submit(BlockCommand(command.operation, block: 5, count: 1, frames: &frame)) else {
        return nil
      }
      device.ring()
      for _ in 0..<100 where completions.isEmpty {
        device.poll(&completions, limit: 1)
        machine.time.now = max(machine.time.now, min(device.nextDeadline, machine.time.now + 10_000_000_000))
      }
      return completions.first?.errno
    }

    for code in Self.codes {
      let expected = Self.errno(code.rawValue)
      let isFinal = code.rawValue == Self.persistentLoss || code == .compareFailure
      // Once with DNR, once without for one try, and once without for ever.
      for (doNotRetry, limit, result, retries) in [
        (true, nil, expected, 0), (false, 1, isFinal ? expected : 0, isFinal ? 0 : 1),
        (false, nil, expected, isFinal ? 0 : 5),
      ] {
        let before = device.counters
        machine.device.faultRules = [
          FaultRule(io: command.opcode, .status(Status(code, doNotRetry: doNotRetry)), limit: limit)
        ]
        let errno = run()
        let tried = Int(device.counters.retries - before.retries)
        let failed = device.counters.errors - before.errors
        if errno != result || tried != retries || failed != (result == 0 ? 0 : 1) {
          Issue.record("\(code), DNR \(doNotRetry): errno \(errno ?? -1) after \(tried) retries")
        }
      }
    }
    machine.device.faultRules = []
    #expect(run() == 0)
    #expect(device.controller.counters.resets == 0)
    device.close()
  }

  @Test func ofAnAdminCommandOfACaller() throws {
    let machine = try TestMachine()
    let controller = try machine.open()
    let commands: [(AdminOpcode, SubmissionEntry, Int)] = [
      (.identify, SubmissionEntry(identify: .controller), 4096),
      (.getLogPage, SubmissionEntry(getLogPage: .smart, length: 512), 512),
      (.getFeatures, SubmissionEntry(getFeature: .numberOfQueues), 0),
      (.setFeatures, SubmissionEntry(setFeature: .arbitration, value: 0), 0),
      (.formatNVM, SubmissionEntry(formatNamespace: 1, format: 0), 0),
      (.abort, SubmissionEntry(abort: 1, queue: 1), 0),
    ]
    for (opcode, command, length) in commands {
      for code in Self.codes {
        machine.device.faultRules = [FaultRule(admin: opcode, .status(Status(code)), limit: 1)]
        var errno: Int32 = 0
        do throws(ControllerError) {
          _ = try controller.execute(command, receiving: length)
        } catch {
          errno = error.errno
        }
        if errno != Self.errno(code.rawValue) { Issue.record("\(opcode): \(code) gave \(errno)") }
      }
      // Admin commands are not retried by the driver.
      machine.device.faultRules = []
      _ = try controller.execute(command, receiving: length)
    }
    controller.close()
  }

  @Test(arguments: [
    AdminOpcode.createCompletionQueue, .createSubmissionQueue, .deleteSubmissionQueue, .deleteCompletionQueue,
  ])
  func ofAQueueCommand(_ opcode: AdminOpcode) throws {
    let machine = try TestMachine()
    let controller = try machine.open()
    let arenas = machine.device.mappedArenas
    for code in StatusCode.all where code != .success {
      machine.device.faultRules = [FaultRule(admin: opcode, .status(Status(code)), limit: 1)]
      let isCreation = opcode == .createCompletionQueue || opcode == .createSubmissionQueue
      let errno = Self.makeAndDelete(controller)
      #expect(errno == (isCreation ? Self.errno(code.rawValue) : 0), "\(code)")
      #expect(machine.device.mappedArenas == arenas && controller.state == .ready, "\(code)")
    }
    machine.device.faultRules = []
    controller.delete(try controller.makeQueuePair())
    controller.close()
    #expect(machine.device.mappedArenas == 0)
  }

  /// The errno of making a queue pair, which is deleted at once.
  private static func makeAndDelete(_ controller: Controller) -> Int32 {
    do throws(ControllerError) {
      let queue = try controller.makeQueuePair()
      controller.delete(queue)
      return 0
    } catch {
      return error.errno
    }
  }

  @Test(arguments: [
    AdminOpcode.identify, .setFeatures, .getFeatures, .getLogPage, .asynchronousEventRequest,
    .createCompletionQueue, .createSubmissionQueue,
  ])
  func duringBringUp(_ opcode: AdminOpcode) throws {
    for code in StatusCode.all where code != .success {
      for skipping in 0..<(opcode == .identify ? 4 : 2) {
        let machine = try TestMachine(blocks: 8)
        machine.device.faultRules = [
          FaultRule(admin: opcode, .status(Status(code)), skipping: skipping, limit: 1)
        ]
        // The bring-up succeeds or throws; and the next attempt succeeds.
        do {
          try machine.openDevice(frames: 1).close()
        } catch {
          let errno = (error as? ControllerError)?.errno ?? (error as? BlockDeviceError)?.errno
          #expect(errno == Self.errno(code.rawValue) || errno == ENXIO || errno == EOPNOTSUPP, "\(error)")
        }
        #expect(machine.device.mappedArenas == 0, "\(opcode), \(code)")
        machine.device.faultRules = []
        try machine.openDevice(frames: 1).close()
      }
    }
  }
}
