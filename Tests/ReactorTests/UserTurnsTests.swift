import TestSupport
import Testing

@testable import Reactor

@Suite("Users take turns") struct UserTurnsTests {
  private let large = 1 << 20

  @Test("a single user's requests are never held") func alone() {
    var turns = UserTurns(slots: 64)
    for slot in 0..<64 {
      let isBegun = turns.admit(slot, uid: 1000, bytes: large, now: 1_000_000_000)
      #expect(isBegun)
    }
    let isHolding = turns.isHolding
    #expect(!isHolding)
  }

  @Test("while another user is active, one has no more than a share outstanding, and all is begun in order")
  func shared() {
    var turns = UserTurns(slots: 64)
    var now: UInt64 = 1_000_000_000
    turns.wait(uid: 1, now: now)
    var begun: [Int] = []
    for slot in 0..<32 where turns.admit(slot, uid: 2, bytes: large, now: now) { begun.append(slot) }
    #expect(begun == [0, 1])
    // The other user's request is begun at once, although requests are held.
    let isBegun = turns.admit(40, uid: 1, bytes: 4096, now: now)
    #expect(isBegun)
    var index = 0
    while index < begun.count {
      now += 100_000
      // The other user stays active.
      turns.wait(uid: 1, now: now)
      turns.end(begun[index], now: now)
      index += 1
      while let slot = turns.next(now: now) { begun.append(slot) }
      let share = turns.share
      #expect(begun.count - index <= share / large)
    }
    #expect(begun == Array(0..<32))
  }

  @Test("held requests of two users are begun in turn") func inTurn() {
    var turns = UserTurns(slots: 64)
    let now: UInt64 = 1_000_000_000
    for user in 1...2 as ClosedRange<UInt32> { turns.wait(uid: user, now: now) }
    var begun: [Int] = []
    for slot in 0..<20 where turns.admit(slot, uid: 1, bytes: large, now: now) { begun.append(slot) }
    for slot in 20..<40 where turns.admit(slot, uid: 2, bytes: large, now: now) { begun.append(slot) }
    var users: [Int] = []
    var index = 0
    while index < begun.count {
      turns.end(begun[index], now: now)
      index += 1
      while let slot = turns.next(now: now) {
        begun.append(slot)
        users.append(slot / 20)
      }
    }
    #expect(begun.count == 40)
    let first = users.prefix(20)
    #expect(first.filter { $0 == 0 }.count == 10)
  }

  @Test("a user whose requests are answered from memory does not limit others") func fromMemory() {
    var turns = UserTurns(slots: 64)
    for slot in 0..<32 {
      _ = turns.admit(63, uid: 1, bytes: 0, now: 1_000_000_000)
      let isBegun = turns.admit(slot, uid: 2, bytes: large, now: 1_000_000_000)
      #expect(isBegun)
    }
  }

  @Test(
    "a device that carries out many commands in parallel is kept busy, however long each takes",
    arguments: [1, 5, 20])
  func slowAnswers(milliseconds: UInt64) {
    var turns = UserTurns(slots: 64)
    let latency = milliseconds * 1_000_000
    turns.record(latency: latency)
    var now: UInt64 = 1_000_000_000
    var underWay: [(slot: Int, end: UInt64)] = []
    var free = Array(0..<32)
    var largest = 0
    for _ in 0..<20_000 {
      now += 100_000
      turns.wait(uid: 1, now: now)
      while let first = underWay.first, first.end <= now {
        underWay.removeFirst()
        turns.end(first.slot, now: now)
        free.append(first.slot)
        while let slot = turns.next(now: now) { underWay.append((slot, now + latency)) }
      }
      while let slot = free.popLast() {
        if turns.admit(slot, uid: 2, bytes: large, now: now) { underWay.append((slot, now + latency)) }
      }
      largest = max(largest, underWay.count)
    }
    #expect(largest >= (milliseconds == 1 ? 2 : 30))
  }

  @Test("a user who is alone again is not limited") func aloneAgain() {
    var turns = UserTurns(slots: 64)
    let now: UInt64 = 1_000_000_000
    turns.wait(uid: 1, now: now)
    var begun = 0
    for slot in 0..<32 where turns.admit(slot, uid: 2, bytes: large, now: now) { begun += 1 }
    let later = now + UserTurns.activity
    turns.end(0, now: later)
    while turns.next(now: later) != nil { begun += 1 }
    #expect(begun == 32)
  }

  @Test("at the end everything is begun") func atTheEnd() {
    var turns = UserTurns(slots: 64)
    var found: Set<Int> = []
    for user in 0..<3 as Range<UInt32> { turns.wait(uid: user, now: 1) }
    for slot in 0..<30 where turns.admit(slot, uid: UInt32(slot % 3), bytes: large, now: 1) {
      found.insert(slot)
    }
    #expect(found.count < 30)
    while let slot = turns.nextOfAll() { found.insert(slot) }
    let isHolding = turns.isHolding
    #expect(!isHolding)
    #expect(found.count == 30)
    let next = turns.next(now: 2)
    #expect(next == nil)
  }

  @Test(
    "each request is begun once, in its user's order, and none waits for ever",
    arguments: 1...20)
  func anyOrder(seed: UInt64) {
    var random = SplitMix(seed: seed)
    var turns = UserTurns(slots: 64)
    var free = Array(0..<64)
    var begun: [Int] = []
    var held: [UInt32: [Int]] = [:]
    var user = [UInt32](repeating: 0, count: 64)
    var now: UInt64 = 1_000_000_000
    func begin(_ slot: Int) {
      #expect(held[user[slot]]?.first == slot)
      held[user[slot]]?.removeFirst()
      begun.append(slot)
    }
    for _ in 0..<5000 {
      now += random.next() % 40_000_000
      if random.next() % 2 == 0, let slot = free.popLast() {
        user[slot] = UInt32(random.next() % 3) * 7
        held[user[slot], default: []].append(slot)
        let bytes = random.next() % 4 == 0 ? 0 : Int(random.next() % (2 << 20)) + 1
        let passes = held[user[slot]]?.count == 1 || bytes == 0
        turns.wait(uid: user[slot], now: now)
        if turns.admit(slot, uid: user[slot], bytes: bytes, now: now) {
          #expect(passes)
          held[user[slot]]?.removeAll { $0 == slot }
          begun.append(slot)
        }
      } else if !begun.isEmpty {
        let slot = begun.remove(at: Int(random.next() % UInt64(begun.count)))
        turns.end(slot, now: now)
        free.append(slot)
        while let slot = turns.next(now: now) { begin(slot) }
      }
      // A user with held requests has outstanding ones.
      for (uid, waiting) in held where !waiting.isEmpty { #expect(begun.contains { user[$0] == uid }) }
      let isHolding = turns.isHolding
      #expect(isHolding == held.values.contains { !$0.isEmpty })
    }
    while !begun.isEmpty {
      turns.end(begun.removeLast(), now: now)
      while let slot = turns.next(now: now) { begin(slot) }
    }
    let isDone = held.values.allSatisfy { $0.isEmpty }
    #expect(isDone)
  }
}
