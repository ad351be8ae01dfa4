import EmulatedController
import NVMeSpec
import Testing

@Suite("Timing model")
struct TimingTests {
  /// Keeps `depth` reads outstanding on a virtual clock, and returns how long `count` of them took, in ns.
  private func elapsed(_ host: TestHost, depth: Int, count: Int, blocks: UInt32 = 1) -> UInt64 {
    let queue = host.makeQueue(entries: 64)
    let frame = host.allocate(Int(blocks))
    let start = UInt64(1_000_000)
    var now = start
    _ = host.controller.service(now: now)
    let entry = host.transfer(.read, block: 0, count: blocks, frame: frame)
    func send() {
      var entry = entry
      entry.commandIdentifier = queue.nextIdentifier()
      host.place(entry, queue)
      host.ring(queue)
    }
    var (sent, done) = (0, 0)
    while done < count {
      while sent < count, sent - done < depth {
        send()
        sent += 1
      }
      let due = host.controller.service(now: now)
      while host.poll(queue) != nil { done += 1 }
      if done < count, sent - done >= depth || sent == count { now = max(now, due) }
    }
    return now - start
  }

  @Test("latencies overlap: depth 32 is 32 times as fast as depth 1")
  func parallelLatency() throws {
    let one = elapsed(try TestHost.memory { $0.latency = 80_000 }, depth: 1, count: 320)
    let many = elapsed(try TestHost.memory { $0.latency = 80_000 }, depth: 32, count: 320)
    #expect(one == 320 * 80_000)
    #expect(many == 10 * 80_000)
  }

  @Test("the limit of commands a second holds at any depth", arguments: [1, 8, 32])
  func commandsPerSecond(depth: Int) throws {
    let host = try TestHost.memory { $0.commandsPerSecond = 100_000 }
    #expect(elapsed(host, depth: depth, count: 500) == 500 * 10_000)
  }

  @Test("the limit of bytes a second holds at any size", arguments: [1, 4, 16] as [UInt32])
  func bytesPerSecond(blocks: UInt32) throws {
    let host = try TestHost.memory { $0.bytesPerSecond = 4_096_000_000 }
    #expect(elapsed(host, depth: 8, count: 64, blocks: blocks) == 64 * 1000 * UInt64(blocks))
  }

  @Test("data moves when the command is due, not before")
  func dataMovesLate() throws {
    let host = try TestHost.memory { $0.latency = 1000 }
    let queue = host.makeQueue()
    let frame = host.allocate()
    host.bytes(frame, 4096).initializeMemory(as: UInt8.self, repeating: 9)
    host.place(host.transfer(.read, block: 0, count: 1, frame: frame), queue)
    host.ring(queue)
    #expect(host.controller.service(now: 999) == 1000)
    #expect(host.bytes(frame, 4096).allSatisfy { $0 == 9 })
    #expect(host.controller.service(now: 1000) == .max)
    #expect(host.bytes(frame, 4096).allSatisfy { $0 == 0 })
    #expect(host.poll(queue)?.status.isSuccess == true)
  }

  @Test("a reset drops what was not yet due")
  func reset() throws {
    let host = try TestHost.memory { $0.latency = 1000 }
    let queue = host.makeQueue()
    let frame = host.allocate()
    host.bytes(frame, 4096).initializeMemory(as: UInt8.self, repeating: 9)
    host.place(host.transfer(.write, block: 0, count: 1, frame: frame), queue)
    host.ring(queue)
    host.disable()
    #expect(host.controller.service(now: 5000) == .max)
    #expect(host.controller.contents(namespace: 1)?.pages.isEmpty == true)
  }
}
