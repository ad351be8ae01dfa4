import NVMe

/// The way up: ends of NVMe commands become completions.
extension BlockQueue {
  /// Appends at most `limit` completions that have arrived.
  mutating func poll(_ completions: inout [BlockCompletion], limit: Int) {
    controller.poll(&pair, limit: limit)
    for finished in pair.takeFinished() {
      if finished.context & Self.deallocationMark == 0 {
        endPart(UInt32(truncatingIfNeeded: finished.context), errno: finished.errno)
      } else {
        endDeallocation(Int(finished.context & ~Self.deallocationMark), errno: finished.errno)
      }
    }
    if !waiting.isEmpty || !discards.isEmpty { goOn() }
    controller.ring(&pair)
    deliver(&completions, limit: limit)
  }

  /// Posts what waits, or ends it where the controller is lost.
  @inline(never)
  private mutating func goOn() {
    if let errno = controller.lostErrno {
      while !waiting.isEmpty { abandon(waiting.removeFirst(in: pool), errno: errno) }
      while !discards.isEmpty { abandon(discards.removeFirst(in: pool), errno: errno) }
    } else {
      postWaiting()
      postDiscards()
    }
  }

  /// An NVMe command of a request has ended.
  @inline(__always)
  mutating func endPart(_ index: UInt32, errno: Int32) {
    let request = pool[index]
    request.pointee.outstanding &-= 1
    if errno != 0, request.pointee.errno == 0 { request.pointee.errno = errno }
    if request.pointee.outstanding == 0, request.pointee.remaining == 0 { ended.append(index, in: pool) }
  }

  /// Posts no more of a request: it ends now, or with its last NVMe command under way.
  mutating func abandon(_ index: UInt32, errno: Int32) {
    let request = pool[index]
    request.pointee.remaining = 0
    if request.pointee.outstanding == 0 { end(index, errno: errno) } else { request.pointee.errno = errno }
  }

  /// Ends a request that no NVMe command is under way for.
  mutating func end(_ index: UInt32, errno: Int32) {
    pool[index].pointee.errno = errno
    ended.append(index, in: pool)
  }

  @inline(__always)
  private mutating func deliver(_ completions: inout [BlockCompletion], limit: Int) {
    var room = limit
    while room > 0, !ended.isEmpty {
      let index = ended.removeFirst(in: pool)
      let request = pool[index]
      completions.append(BlockCompletion(tag: request.pointee.tag, errno: request.pointee.errno))
      pool.give(index)
      room &-= 1
    }
  }
}
