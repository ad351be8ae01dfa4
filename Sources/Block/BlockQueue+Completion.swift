import BlockProtocol
import Glibc
import NVMe

/// From the device: completions of NVMe commands become completions of requests.
extension BlockQueue {
  /// Appends at most `limit` completions that have arrived.
  mutating func poll(_ completions: inout [BlockCompletion], limit: Int) {
    controller.poll(&pair, limit: limit)
    if controller.cacheLosses != cacheLosses { beginProof() }
    var room = limit
    for finished in pair.takeFinished() {
      guard finished.context < Self.proofMark else {
        endOther(finished)
        continue
      }
      let index = UInt32(truncatingIfNeeded: finished.context)
      guard endPart(index, errno: finished.errno, isRecalled: finished.end == .recalled) else { continue }
      guard settle(index) else { continue }
      if room > 0 {
        deliver(index, &completions)
        room &-= 1
      } else {
        ended.append(index, in: pool)
      }
    }
    if !waiting.isEmpty || !discards.isEmpty { drainWaiting() }
    if proof.isUnderWay { continueProof() }
    controller.ring(&pair)
    while room > 0, !ended.isEmpty {
      deliver(ended.removeFirst(in: pool), &completions)
      room &-= 1
    }
  }

  /// Handles the end of a command that does not belong to a single request.
  @inline(never)
  private mutating func endOther(_ finished: FinishedCommand) {
    if finished.context & Self.deallocationMark != 0 {
      endDeallocation(
        Int(finished.context & ~Self.deallocationMark), errno: finished.errno,
        isRecalled: finished.end == .recalled)
    } else {
      endMarked(finished)
    }
  }

  /// Reports the end of a request and frees its record.
  @inline(__always)
  private mutating func deliver(_ index: UInt32, _ completions: inout [BlockCompletion]) {
    let request = pool[index]
    completions.append(
      BlockCompletion(
        tag: request.pointee.tag, errno: request.pointee.errno, number: request.pointee.number))
    pool.give(index)
  }

  /// Whether the next poll has a completion to report for which no interrupt comes.
  var hasEnds: Bool {
    !ended.isEmpty || ((!waiting.isEmpty || !discards.isEmpty) && controller.lostErrno != nil)
  }

  /// Posts the waiting requests, or ends them where the controller has failed.
  @inline(never)
  mutating func drainWaiting() {
    if let errno = controller.lostErrno {
      while !waiting.isEmpty { abandon(waiting.removeFirst(in: pool), errno: errno) }
      abandonDiscards(errno)
    } else {
      postWaiting()
      if proof == .failed { abandonDiscards(EIO) } else if proof == .none { postDiscards() }
    }
  }

  private mutating func abandonDiscards(_ errno: Int32) {
    while !discards.isEmpty { abandon(discards.removeFirst(in: pool), errno: errno) }
  }

  /// Handles the end of a request's NVMe command.
  /// - Returns: whether it was the request's last.
  @inline(__always)
  mutating func endPart(_ index: UInt32, errno: Int32, isRecalled: Bool) -> Bool {
    let request = pool[index]
    request.pointee.outstanding &-= 1
    if errno != 0 {
      if isRecalled {
        request.pointee.isRecalled = true
      } else if request.pointee.errno == 0 {
        request.pointee.errno = errno
      }
    }
    return request.pointee.outstanding == 0 && request.pointee.remaining == 0
  }

  /// Posts no more of a request: it ends now, or with its last NVMe command in flight.
  mutating func abandon(_ index: UInt32, errno: Int32) {
    let request = pool[index]
    request.pointee.remaining = 0
    if request.pointee.outstanding == 0 { end(index, errno: errno) } else { request.pointee.errno = errno }
  }

  /// Ends a request that has no NVMe command in flight.
  mutating func end(_ index: UInt32, errno: Int32) {
    pool[index].pointee.errno = errno
    ended.append(index, in: pool)
  }
}
