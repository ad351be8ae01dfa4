/// Takes turns between users when the device is the bottleneck.
///
/// A device carries out commands in the order in which they arrive, so the requests of all other users would
/// wait behind those of a user who keeps it busy with large ones. So while several users wait for the device,
/// the outstanding reads and writes of each are limited to the bytes that the device transfers in `span`;
/// further ones are held, in order, and begun when it is that user's turn. All other requests are begun at
/// once, and so is everything while only one user is active.
///
/// Allocates nothing after it was made.
struct UserTurns: ~Copyable {
  /// Users are distinguished by their id modulo this; those with the same remainder count as one.
  static let users = 64
  /// The minimum cost of a request, in bytes: what the device could transfer in the time of a small request.
  static let leastCost = 64 << 10
  /// The minimum share of a user, in bytes; as much as keeps a rotating disk busy.
  static let leastShare = 2 << 20
  /// The minimum of `span` (ns).
  static let leastSpan: UInt64 = 4_000_000
  /// How long a user counts as active after a request that had to wait for the device (ns).
  static let activity: UInt64 = 100_000_000
  /// The interval over which the device's rate is measured (ns).
  static let measure: UInt64 = 20_000_000

  /// For each user: the outstanding bytes, when a request last had to wait (ns; 0 for never), and the first
  /// and last held slot.
  private struct User {
    var underWay = 0
    var lastWait: UInt64 = 0
    var first: Int32 = -1
    var last: Int32 = -1
  }

  /// For each slot: its request's user and cost, and the next held slot.
  private struct Slot {
    var user: UInt8 = 0
    var cost: Int32 = 0
    var next: Int32 = -1
  }

  private let all: UnsafeMutablePointer<User>
  private let slots: UnsafeMutablePointer<Slot>
  /// The users with held requests, a bit each.
  private var holding: UInt64 = 0
  /// The user whose turn is next.
  private var turn = 0
  /// The limit of a user's outstanding bytes while others are active.
  private(set) var share = UserTurns.leastShare
  /// The device's shortest latency of a read while idle (ns); `UInt64.max` while it is not known.
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

  /// Whether requests are held.
  var isHolding: Bool { holding != 0 }

  /// Records a new request.
  /// - Parameters:
  ///   - bytes: what it moves to or from the device; 0 for one that is never held.
  ///   - now: ns, monotonic.
  /// - Returns: whether to begin it now; if not, `next` returns its slot later.
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

  /// Records that a user's request has to wait for the device.
  @inline(__always)
  mutating func wait(uid: UInt32, now: UInt64) { all[Int(uid) & (Self.users - 1)].lastWait = now }

  /// Records the latency of a read while the device was otherwise idle (ns).
  mutating func record(latency time: UInt64) { latency = min(latency, time) }

  /// Records that a slot is free: its request was answered, and the device no longer uses its data.
  @inline(__always)
  mutating func end(_ slot: Int, now: UInt64) {
    let cost = Int(slots[slot].cost)
    guard cost > 0 else { return }
    slots[slot].cost = 0
    all[Int(slots[slot].user)].underWay -= cost
    measure(cost, now)
  }

  /// The slot of a held request to begin now; nil when there is none.
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

  /// The slot of any held request, regardless of turns.
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

  /// A user without outstanding requests always may begin one, so that no held request waits for an end that
  /// never comes.
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

  /// The time of the device that one user's outstanding requests may take (ns). Less than twice the latency
  /// would leave a device with parallel commands idle, and the low rate would then be measured as the
  /// device's.
  private var span: UInt64 {
    latency == .max ? Self.leastSpan : max(Self.leastSpan, min(latency, Self.measure) * 2)
  }

  /// Counts transferred bytes, and sets the share to what the device transfers in `span`.
  private mutating func measure(_ bytes: Int, _ now: UInt64) {
    measured += bytes
    let time = now &- measureStart
    guard time >= Self.measure else { return }
    // A longer interval included pauses.
    if time < 2 * Self.measure { share = max(Self.leastShare, Int(UInt64(measured) * span / time)) }
    measured = 0
    measureStart = now
  }
}
