import SystemFiles
import TestSupport
import Testing

@testable import Reactor

/// A machine of a few processors with one caller, and what the follower did there.
private final class Machine {
  /// The processor the caller runs on; nil when it has ended.
  var caller: Int?
  /// The processors the loop's thread may run on, as it last asked.
  private(set) var thread = ProcessorSet([])
  var refuses = false
  private(set) var looks = 0
  private var callers = Callers()
  lazy var follower = Follower(
    allowed: allowed,
    locate: { [unowned self] _ in
      looks += 1
      return caller
    },
    move: { [unowned self] set in
      if refuses { return false }
      thread = set
      return true
    })
  private let allowed: ProcessorSet

  init(allowed: ProcessorSet, caller: Int?) {
    self.allowed = allowed
    self.caller = caller
    thread = allowed
  }

  func lone(_ count: Int, from process: UInt32 = 7) { for _ in 0..<count { request(from: process) } }

  /// A request, and a pause after it.
  func request(from process: UInt32, waiting: Int = 0) {
    callers.receive(from: process)
    callers.answer(1)
    for _ in 0..<waiting { callers.receive(from: process) }
    follower.note(lone: callers.lone, crowded: callers.crowded, from: callers.process)
    callers.answer(waiting)
    callers.take()
  }
}

@Suite struct FollowerTests {
  /// Processors 1 to 3.
  private var three: ProcessorSet { ProcessorSet([1, 2, 3]) }

  @Test func followsACallerWhoWaitsForEachAnswer() {
    let machine = Machine(allowed: three, caller: 2)
    // The first is not known to come from the same process as the one before.
    machine.lone(Follower.leastPatience)
    #expect(machine.follower.processor == nil)
    machine.lone(1)
    #expect(machine.follower.processor == 2)
    #expect(machine.thread == ProcessorSet([2]))
    machine.caller = 3
    machine.lone(Follower.interval)
    #expect(machine.thread == ProcessorSet([3]))
    #expect(machine.follower.counters.moves == 2)
  }

  @Test func staysWithinTheAllowedProcessors() {
    let machine = Machine(allowed: three, caller: 0)
    machine.lone(1_000)
    #expect(machine.follower.processor == nil)
    #expect(machine.thread == three)
    machine.caller = 1
    machine.lone(1_000)
    #expect(machine.thread == ProcessorSet([1]))
    machine.caller = 0
    machine.lone(Follower.interval)
    #expect(machine.thread == three)
    #expect(machine.follower.counters.releases == 1)
  }

  @Test func isReleasedByRequestsAtOnce() {
    let machine = Machine(allowed: three, caller: 1)
    machine.lone(100)
    for _ in 0..<4 { machine.request(from: 7, waiting: 31) }
    #expect(machine.thread == three)
    #expect(!machine.follower.isFollowing)
  }

  /// Two who take turns are not lone callers, however often each of them is.
  @Test func severalCallersDoNotPullItToAndFro() {
    let machine = Machine(allowed: three, caller: 1)
    for round in 0..<100_000 {
      machine.caller = round % 2 + 1
      machine.lone(1, from: UInt32(round % 2 + 1))
    }
    #expect(machine.follower.counters.moves == 0)
    #expect(machine.looks == 0)
    // In longer turns each is followed at first, and ever more rarely.
    for round in 0..<10_000 {
      machine.caller = round % 2 + 1
      machine.lone(20, from: UInt32(round % 2 + 1))
    }
    #expect(machine.follower.counters.moves < 20_000 / 16)
  }

  /// Where the kernel always wakes the caller on another, idle processor, following costs; it is tried ever more
  /// rarely.
  @Test func givesUpACallerWhoIsAlwaysElsewhere() {
    let machine = Machine(allowed: three, caller: 1)
    for round in 0..<1_000_000 {
      machine.caller = machine.follower.processor.map { $0 % 3 + 1 } ?? 1
      machine.lone(1)
      if round == 500_000 { #expect(machine.follower.counters.releases <= 45) }
    }
    #expect(machine.follower.counters.moves <= 4 * machine.follower.counters.releases + 4)
    #expect(machine.follower.counters.releases <= 80)
  }

  @Test func aCallerWithoutAKnownProcessorIsNotFollowed() {
    let machine = Machine(allowed: three, caller: nil)
    machine.lone(1_000)
    #expect(machine.thread == three && machine.looks > 0)
    machine.caller = 2
    machine.lone(1_000, from: 0)
    #expect(machine.thread == three, "the kernel does not say whose requests these are")
  }

  @Test func aRefusalChangesNothing() {
    let machine = Machine(allowed: three, caller: 2)
    machine.refuses = true
    machine.lone(1_000)
    #expect(machine.follower.counters == Follower.Counters())
    #expect(machine.thread == three)
  }

  /// Whatever comes: the thread has one allowed processor while it follows and all of them otherwise, and of any
  /// 64 requests at most 4 have it look.
  @Test(arguments: 0..<20 as Range<UInt64>) func holdsForAnySequence(seed: UInt64) {
    var random = SplitMix(seed: seed)
    let machine = Machine(allowed: three, caller: 1)
    var before = 0
    for round in 0..<20_000 {
      if random.next(upperBound: 50 as UInt64) == 0 {
        machine.caller = Bool.random(using: &random) ? nil : Int.random(in: 0..<5, using: &random)
      }
      if random.next(upperBound: 8 as UInt64) > 0 {
        machine.lone(1, from: 1)
      } else {
        machine.request(
          from: .random(in: 0...3, using: &random), waiting: .random(in: 0...40, using: &random))
      }
      if let processor = machine.follower.processor {
        #expect(machine.thread == ProcessorSet([processor]) && three.contains(processor))
      } else {
        #expect(machine.thread == three)
      }
      guard round % 64 == 63 else { continue }
      #expect(machine.looks - before <= 4)
      before = machine.looks
    }
  }
}

@Suite struct WakeUpCostTests {
  @Test func aMeasurementIsPlausible() throws {
    let allowed = ProcessorSet.ofThisThread
    let cost = WakeUpCost.measure()
    #expect(ProcessorSet.ofThisThread == allowed)
    guard allowed.numbers.count > 1 else { return #expect(cost == nil) }
    let measured = try #require(cost)
    #expect(measured.same > 0 && measured.across > 0)
    #expect(measured.same < 1_000_000_000)
  }

  @Test func followingPaysByAFactorAndADifference() {
    #expect(WakeUpCost(same: 2_000, across: 24_000, stays: true).favorsFollowing)
    #expect(!WakeUpCost(same: 2_000, across: 24_000, stays: false).favorsFollowing)
    #expect(!WakeUpCost(same: 1_000, across: 4_000, stays: true).favorsFollowing)
    #expect(!WakeUpCost(same: 10_000, across: 16_000, stays: true).favorsFollowing)
    #expect(!WakeUpCost(same: 5_000, across: 1_000, stays: true).favorsFollowing)
    #expect(!WakeUpCost(same: .max, across: .max, stays: true).favorsFollowing)
  }
}
