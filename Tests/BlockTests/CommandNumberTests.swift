import BlockProtocol
import DriverTestSupport
import NVMe
import NVMeSpec
import Testing

@testable import Block

/// A block command's number in a trace: its NVMe commands have it, and its completion.
@Suite struct CommandNumberTests {
  private func numbers(_ commands: [(UInt32, BlockCommand)]) throws -> (ended: [UInt32], traced: [UInt64]) {
    let machine = try TestMachine { $0.maximumTransfer = 2 }
    let device = try machine.openDevice()
    defer { device.close() }
    device.startTrace(capacity: 64)
    let frames = UnsafeMutablePointer<UInt32>.allocate(capacity: 16)
    defer { frames.deallocate() }
    for index in 0..<16 { frames[index] = UInt32(index % 4) }
    for (number, command) in commands {
      var command = command
      command.frames = UnsafePointer(frames)
      command.number = number
      #expect(device.submit(command))
    }
    device.ring()
    var completions: [BlockCompletion] = []
    for _ in 0..<10_000 where completions.count < commands.count {
      machine.time.now += 1_000
      device.poll(&completions, limit: 8)
    }
    #expect(completions.allSatisfy { $0.errno == 0 })
    return (completions.map(\.number).sorted(), device.takeTrace(limit: 64).commands.map(\.context))
  }

  @Test func eachCommandHasItsNumber() throws {
    let largest: UInt32 = (1 << 30) - 1
    let (ended, traced) = try numbers([
      (5, BlockCommand(.write, block: 3, count: 1)), (7, BlockCommand(.read, block: 9, count: 2)),
      (0, BlockCommand(.write, block: 4, count: 1)), (largest, BlockCommand(.flush)),
    ])
    #expect(ended == [0, 5, 7, largest])
    #expect(traced == [5, 7, 0, UInt64(largest)])
  }

  @Test func thePartsOfALargeCommandShareIt() throws {
    let (ended, traced) = try numbers([(9, BlockCommand(.write, block: 0, count: 10))])
    #expect(ended == [9])
    #expect(traced.count > 1 && Set(traced) == [9])
  }

  /// One NVMe command may deallocate the blocks of several.
  @Test func aDiscardHasNone() throws {
    let (ended, traced) = try numbers([(9, BlockCommand(.discard, block: 0, count: 8))])
    #expect(ended == [9])
    #expect(traced == [0])
  }
}
