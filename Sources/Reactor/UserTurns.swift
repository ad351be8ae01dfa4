/// Whose requests are begun when the device is the limit: several users take turns.
///
/// A device takes commands in the order in which they come, so a user who keeps it busy with large requests
/// has those of all others wait behind them. So while others wait for it too, a user's reads and writes that
/// have been begun and not ended come to no more than the device does in `span`; what comes beyond that is
/// held back, in its order, and begun when it is that user's turn. All else is begun at once, and so is
/// everything while one user is alone.
///
/// Allocates nothing after it was made.
struct UserTurns: ~Copyable {
  /// Users are told apart by their number modulo this; those that fall together count as one.
  static let users = 64
  /// What a request counts at least, in bytes: what the device can do meanwhile.
  static let leastCost = 64 << 10
  /// What a user may always have under way, in bytes; as much as a disk with moving heads needs to be kept
  /// busy.
  static let leastShare = 2 << 20
  /// How long the device may take for what one user has under way, at least (ns).
  static let leastSpan: UInt64 = 4_000_000
  /// For how long after a request that had to wait a user counts as active (ns).
  static let activity: UInt64 = 100_000_000
  /// Over what time the device's rate is measured (ns).
  static let measure: UInt64 = 20_000_000

  /// Of each user: the bytes under way, when a request last had to wait (ns; 0 for never), and the first and
  /// last slot held back.
  private struct User {
    var underWay = 0
    var lastWait: UInt64 = 0
    var first: Int32 = -1
    var last: Int32 = -1
  }

  /// Of each slot: whose request it has, what that counts, and the slot held back behind it.
  private struct Slot {
    var user: UInt8 = 0
    var cost: Int32 = 0
    var next: Int32 = -1
  }

  private let all: UnsafeMutablePointer<User>
  private let slots: UnsafeMutablePointer<Slot>
  /// The users of whom requests are held back, a bit each.
  private var holding: UInt64 = 0
  /// Whose turn it is next.
  private var turn = 0
  /// What a user may have under way while others are active, in bytes.
  private(set) var share = UserTurns.leastShare
  /// How long the device takes for a read at least, with nothing else to do (ns); the largest number while
  /// that is not known.
  private var latency = UInt64.max
  private var measured = 0
  private var measureStart: UInt64 = 0

  init(slots count: Int) {
    all = .allocate(capacity: Self.users)
    all.initialize(repeating: User(), count: Self.users)
    slots = .allocate(capacity: count)
    slots.initialize(repeating: Slot(), count: count)
  }

  deinit {
    all.deallocate()
    slots.deallocate()
  }

  /// Whether requests are held back.
  var isHolding: Bool { holding != 0 }

  /// Takes note of a request that has come.
  /// - Parameters:
  ///   - bytes: what it moves to or from the device; 0 for one that is never held back.
  ///   - now: ns, monotonic.
  /// - Returns: whether it is to be begun; if not, `next` names its slot later.
  @inline(__always)
  mutating func admit(_ slot: Int, uid: UInt32, bytes: Int, now: UInt64) -> Bool {
    let number = Int(uid) & (Self.users - 1)
    guard bytes > 0 else { return true }
    slots[slot] = Slot(user: UInt8(number), cost: Int32(clamping: max(bytes, Self.leastCost)))
    return admit(slot, number, now)
  }

  private mutating func admit(_ slot: Int, _ number: Int, _ now: UInt64) -> Bool {
    if all[number].first < 0, mayBegin(slot, number, now) {
      all[number].underWay += Int(slots[slot].cost)
      return true
    }
    let last = Int(all[number].last)
    if last < 0 { all[number].first = Int32(slot) } else { slots[last].next = Int32(slot) }
    all[number].last = Int32(slot)
    holding |= 1 << UInt64(number)
    return false
  }

  /// Takes note that a user's request has to wait for the device.
  @inline(__always)
  mutating func wait(uid: UInt32, now: UInt64) { all[Int(uid) & (Self.users - 1)].lastWait = now }

  /// Records the time in which the device did a read with nothing else to do (ns).
  mutating func record(latency time: UInt64) { latency = min(latency, time) }

  /// A slot is free again: its request was answered, and the device is done with its data.
  @inline(__always)
  mutating func end(_ slot: Int, now: UInt64) {
    let cost = Int(slots[slot].cost)
    guard cost > 0 else { return }
    slots[slot].cost = 0
    all[Int(slots[slot].user)].underWay -= cost
    measure(cost, now)
  }

  /// The slot of a request that was held back and is to be begun now; nil when there is none.
  mutating func next(now: UInt64) -> Int? {
    guard holding != 0 else { return nil }
    for step in 0..<Self.users {
      let number = (turn + step) & (Self.users - 1)
      guard holding >> UInt64(number) & 1 == 1 else { continue }
      let slot = Int(all[number].first)
      guard mayBegin(slot, number, now) else { continue }
      turn = number + 1
      return take(slot, of: number)
    }
    return nil
  }

  /// The slot of any request that was held back: all are to be begun.
  mutating func nextOfAll() -> Int? {
    guard holding != 0 else { return nil }
    let number = holding.trailingZeroBitCount
    return take(Int(all[number].first), of: number)
  }

  private mutating func take(_ slot: Int, of number: Int) -> Int {
    all[number].first = slots[slot].next
    slots[slot].next = -1
    all[number].underWay += Int(slots[slot].cost)
    if all[number].first < 0 {
      all[number].last = -1
      holding &= ~(1 << UInt64(number))
    }
    return slot
  }

  /// A user with nothing under way always may: so nobody waits for what does not come.
  private func mayBegin(_ slot: Int, _ number: Int, _ now: UInt64) -> Bool {
    let underWay = all[number].underWay
    return underWay == 0 || underWay + Int(slots[slot].cost) <= share || !isAnotherActive(than: number, now)
  }

  private func isAnotherActive(than number: Int, _ now: UInt64) -> Bool {
    for other in 0..<Self.users where other != number {
      let time = all[other].lastWait
      if time != 0, now &- time < Self.activity { return true }
    }
    return false
  }

  /// How long the device may take for what one user has under way (ns). Less than twice its latency would
  /// leave a device idle that does many commands side by side, and be measured as its rate.
  private var span: UInt64 {
    latency == .max ? Self.leastSpan : max(Self.leastSpan, min(latency, Self.measure) * 2)
  }

  /// Counts what was done, and sets the share to what the device does in `span`.
  private mutating func measure(_ bytes: Int, _ now: UInt64) {
    measured += bytes
    let time = now &- measureStart
    guard time >= Self.measure else { return }
    // A longer time had pauses in it.
    if time < 2 * Self.measure { share = max(Self.leastShare, Int(UInt64(measured) * span / time)) }
    measured = 0
    measureStart = now
  }
}
