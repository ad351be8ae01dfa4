import NVMe

/// The way up: ends of NVMe commands become completions.
extension NamespaceDevice {
  public func poll(_ completions: inout [BlockCompletion], limit: Int) {
    controller.poll(&queue.pointee, limit: limit)
    for finished in queue.pointee.takeFinished() {
      if finished.context & Self.batchMark == 0 {
        endPart(UInt32(truncatingIfNeeded: finished.context), errno: finished.errno)
      } else {
        endBatch(Int(finished.context & ~Self.batchMark), errno: finished.errno)
      }
    }
    if let errno = controller.lostErrno { endWaiting(errno) }
    if !waiting.isEmpty { postWaiting() }
    ring()
    deliver(&completions, limit: limit)
  }

  /// An NVMe command of a request has ended.
  @inline(__always)
  func endPart(_ index: UInt32, errno: Int32) {
    let request = pool[index]
    request.pointee.outstanding &-= 1
    if errno != 0, request.pointee.errno == 0 { request.pointee.errno = errno }
    if request.pointee.outstanding == 0, request.pointee.remaining == 0 {
      ended.append(index, in: pool)
    }
  }

  /// The controller is lost: ends what waits to be posted.
  private func endWaiting(_ errno: Int32) {
    while !waiting.isEmpty { abandonFirst(of: &waiting, errno: errno) }
    while !discards.isEmpty { abandonFirst(of: &discards, errno: errno) }
  }

  /// Posts no more of the request at the head of a queue; it ends with its last NVMe command under way.
  func abandonFirst(of queue: inout RequestQueue, errno: Int32) {
    let index = queue.first
    queue.removeFirst(in: pool)
    let request = pool[index]
    request.pointee.remaining = 0
    if request.pointee.outstanding == 0 { end(index, errno: errno) } else { request.pointee.errno = errno }
  }

  /// Ends a request that no NVMe command is under way for.
  func end(_ index: UInt32, errno: Int32) {
    pool[index].pointee.errno = errno
    ended.append(index, in: pool)
  }

  @inline(__always)
  private func deliver(_ completions: inout [BlockCompletion], limit: Int) {
    var room = limit
    while room > 0, !ended.isEmpty {
      let index = ended.first
      let request = pool[index]
      ended.removeFirst(in: pool)
      completions.append(BlockCompletion(tag: request.pointee.tag, errno: request.pointee.errno))
      pool.give(index)
      room &-= 1
    }
  }
}
