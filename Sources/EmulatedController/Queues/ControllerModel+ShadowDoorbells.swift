import CMachine
import NVMeSpec

/// The addresses of the shadow doorbells: a page of values and one of event indexes.
struct ShadowDoorbells {
  var values: UInt64
  var events: UInt64
}

/// Shadow doorbells (Base 2.0, section 5.8 and annex B.5).
extension ControllerModel {
  /// Doorbell Buffer Config.
  mutating func configureDoorbells(_ entry: SubmissionEntry) -> Outcome {
    let mask = (UInt64(1) << UInt64(pageShift)) - 1
    guard (entry.prp1 | entry.prp2) & mask == 0 else { return .refused(.invalidField) }
    // In remote memory the shadows would have to be fetched at every poll.
    guard !iommu.remote.isNeeded else { return .refused(.dataTransferError) }
    guard iommu.translate(entry.prp1, 1 << pageShift, write: false) != nil,
      iommu.translate(entry.prp2, 1 << pageShift, write: true) != nil
    else { return .refused(.dataTransferError) }
    shadows = ShadowDoorbells(values: entry.prp1, events: entry.prp2)
    followShadows()
    return .success
  }

  /// Handles the shadows that have changed. The admin queue's shadows are ignored.
  /// - Returns: whether any had changed.
  @inline(never)
  @discardableResult
  mutating func followShadows() -> Bool {
    guard let shadows else { return false }
    var found = false
    for queue in 1..<queues.limit {
      if queues.submission[queue].exists, let tail = shadow(shadows, 2 * queue, queues.submission[queue].tail)
      {
        found = true
        ring(submission: queue, tail)
      }
      if queues.completion[queue].exists,
        let head = shadow(shadows, 2 * queue + 1, queues.completion[queue].head)
      {
        found = true
        ring(completion: queue, head)
      }
    }
    return found
  }

  /// Reads a doorbell's shadow and sets its event index, which says when the host must store to the doorbell
  /// again: never for a host that calls `service`, which polls the shadows; at the next change otherwise.
  /// - Parameter known: the value at the last poll.
  /// - Returns: the new value; nil when it is the same.
  private mutating func shadow(_ shadows: ShadowDoorbells, _ index: Int, _ known: UInt32) -> UInt32? {
    let offset = index << doorbellShift
    guard offset + 4 <= 1 << pageShift,
      let values = iommu.translate(shadows.values, 1 << pageShift, write: false),
      let events = iommu.translate(shadows.events, 1 << pageShift, write: true)
    else { return nil }
    var value = cm_load32(values + offset)
    while true {
      cm_store32(events + offset, isPolled ? value &- 1 : value)
      cm_full_fence()
      // The host may have stored a value after the load above without seeing the new event index; it then
      // rings no doorbell, so the shadow is read again.
      let last = cm_load32(values + offset)
      if last == value { return value == known ? nil : value }
      value = last
    }
  }
}
