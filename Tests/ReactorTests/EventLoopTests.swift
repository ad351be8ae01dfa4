import CMachine
import FileProtocol
import Glibc
import PCI
import Testing

@testable import Reactor

/// A reactor of a loop that may have more, with its ending.
private final class Member {
  let service: BlockService
  let device: MemoryDevice
  let reactor: Reactor
  let channel: ScriptedChannel
  private(set) var ending: Ending?
  private let arena: DMAArena

  init(_ loop: EventLoop, requests: Int, window: Int, seed: UInt64) throws {
    let layout = SlotLayout(count: 4, maximumTransfer: 128 << 10)
    arena = try DMAArena(frames: layout.frameCount)
    service = BlockService(slots: layout.count)
    device = MemoryDevice(blocks: 1024, arena: arena, depth: 3, seed: seed)
    reactor = try Reactor(service: service, device: device, slots: layout, loop: loop)
    let kinds: [Operation] = [.read, .write, .fsync]
    channel = ScriptedChannel(
      (0..<requests).map { number in
        var request = Request()
        request.operation = kinds[number % kinds.count]
        request.node = UInt64(number)
        return request
      }, service: service, window: window)
    reactor.whenEnded = { [unowned self] in ending = $0 }
  }
}

@Suite struct EventLoopTests {
  @Test(arguments: 1...5, [1, 3, 40])
  func everyReactorsRequestsAreAnswered(reactors: Int, window: Int) throws {
    let loop = try EventLoop()
    let members = try (1...reactors).map {
      try Member(loop, requests: 100 * $0, window: window, seed: UInt64($0) &* 0x9E37_79B9_7F4A_7C15)
    }
    for member in members { member.reactor.take(member.channel) }
    loop.run { members.contains { $0.ending == nil } }
    for (index, member) in members.enumerated() {
      #expect(member.ending == .unmounted)
      #expect(member.channel.answered.map(\.request).sorted() == Array(0..<100 * (index + 1)))
      #expect(member.service.isStopped)
    }
  }

  @Test func oneThatEndsOrFailsDoesNotAffectTheOthers() throws {
    let loop = try EventLoop()
    let first = try Member(loop, requests: 500, window: 2, seed: 1)
    let second = try Member(loop, requests: 10, window: 0, seed: 2)
    let third = try Member(loop, requests: 10, window: 1, seed: 3)
    third.service.failure = "the device is gone"
    var refusal: ReactorError?
    third.reactor.begin { refusal = $0 }
    for member in [first, second] { member.reactor.take(member.channel) }
    second.reactor.stop()
    loop.run { first.ending == nil }
    #expect(refusal?.problem == "the device is gone")
    #expect(second.ending == .stopped)
    #expect(first.channel.answered.count == 500)
  }

  @Test func aReactorCanJoinWhileOthersServe() throws {
    let loop = try EventLoop()
    let first = try Member(loop, requests: 300, window: 1, seed: 1)
    let second = try Member(loop, requests: 50, window: 1, seed: 2)
    second.service.isReady = false
    second.service.deadlines = [0, 0]
    first.reactor.begin { _ in
      first.reactor.take(first.channel)
      second.reactor.begin { _ in second.reactor.take(second.channel) }
    }
    loop.run { first.ending == nil || second.ending == nil }
    #expect(first.channel.answered.count == 300)
    #expect(second.channel.answered.count == 50)
  }

  @Test func oneThatWasStoppedBeforeItWasServedEnds() throws {
    let loop = try EventLoop()
    let member = try Member(loop, requests: 1, window: 1, seed: 1)
    member.reactor.begin { _ in member.reactor.stop() }
    loop.run { member.ending == nil }
    #expect(member.ending == .stopped)
    #expect(member.channel.answered.isEmpty)
  }

  @Test func anIdleReactorsDeadlineIsKeptWhileAnotherIsBusy() throws {
    let loop = try EventLoop()
    let busy = try Member(loop, requests: 1 << 20, window: 1, seed: 1)
    let idle = try Member(loop, requests: 1, window: 0, seed: 2)
    idle.service.deadlines = Array(repeating: 1, count: 20)
    for member in [busy, idle] { member.reactor.take(member.channel) }
    loop.run { idle.service.advances < 10 && busy.ending == nil }
    #expect(busy.ending == nil)
  }

  @Test func descriptorsAreHandledUnderLoad() throws {
    let loop = try EventLoop()
    let busy = try Member(loop, requests: 1 << 20, window: 1, seed: 1)
    let signal = cm_eventfd()
    defer { close(signal) }
    var one: UInt64 = 1
    #expect(write(signal, &one, 8) == 8)
    var isHeard = false
    loop.watch(signal) {
      isHeard = true
      loop.unwatch(signal)
    }
    busy.reactor.take(busy.channel)
    loop.run { !isHeard && busy.ending == nil }
    #expect(isHeard)
  }

  @Test func aSharedDescriptorIsWaitedForUntilItsLastRemoval() throws {
    var epoll = try EpollSet()
    let descriptor = cm_eventfd()
    defer { close(descriptor) }
    var one: UInt64 = 1
    epoll.addEdge(descriptor)
    epoll.addEdge(descriptor)
    epoll.remove(descriptor)
    #expect(write(descriptor, &one, 8) == 8)
    let heard = epoll.wait(timeout: 0)
    #expect(heard == 1)
    epoll.remove(descriptor)
    epoll.remove(descriptor)
    #expect(write(descriptor, &one, 8) == 8)
    let nothing = epoll.wait(timeout: 0)
    #expect(nothing == 0)
  }
}
