/// A fixed set of request records and the list of the free ones.
struct RequestPool: ~Copyable {
  /// How many there are.
  let count: Int
  private let records: UnsafeMutablePointer<BlockRequest>
  private var firstFree: UInt32 = 0

  init(count: Int) {
    self.count = count
    records = .allocate(capacity: count)
    for index in 0..<count {
      var record = BlockRequest()
      record.next = index + 1 < count ? UInt32(truncatingIfNeeded: index + 1) : BlockRequest.none
      (records + index).initialize(to: record)
    }
  }

  deinit { records.deallocate() }

  /// The record of request `index`, which must be below `count`.
  @inline(__always)
  subscript(index: UInt32) -> UnsafeMutablePointer<BlockRequest> { records + Int(index) }

  /// How many are not free. Walks the free list, so it is too slow to call for every request.
  var inUse: Int {
    var free = 0
    var index = firstFree
    while index != BlockRequest.none {
      free += 1
      index = records[Int(index)].next
    }
    return count - free
  }

  /// Takes a free record's index; nil when there is none.
  @inline(__always)
  mutating func take() -> UInt32? {
    let index = firstFree
    guard index != BlockRequest.none else { return nil }
    firstFree = records[Int(index)].next
    return index
  }

  /// Frees a record.
  @inline(__always)
  mutating func give(_ index: UInt32) {
    records[Int(index)].next = firstFree
    firstFree = index
  }
}

/// Requests in the order they came, linked through their records.
struct RequestQueue {
  private(set) var first = BlockRequest.none
  private var last = BlockRequest.none

  /// Whether no request is in it.
  @inline(__always)
  var isEmpty: Bool { first == BlockRequest.none }

  /// Puts a request at the end.
  mutating func append(_ index: UInt32, in pool: borrowing RequestPool) {
    pool[index].pointee.next = BlockRequest.none
    if isEmpty { first = index } else { pool[last].pointee.next = index }
    last = index
  }

  /// Removes the first request; there must be one.
  @discardableResult
  mutating func removeFirst(in pool: borrowing RequestPool) -> UInt32 {
    let index = first
    first = pool[index].pointee.next
    return index
  }
}
