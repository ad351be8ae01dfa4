import Glibc

/// Work on a medium that may have to wait for a disk.
///
/// It holds addresses of the host's memory; the controller waits for it to end before that memory is
/// unmapped.
enum Work: @unchecked Sendable {
  case read(Medium, [iovec], Int)
  case synchronize([Medium])
  case zero(Medium, [(offset: Int, length: Int)], durable: Bool)
  /// The remaining work of a deallocation.
  case deallocate(MappedMedium, MappedMedium.Deallocation)
  /// A copy of whole pages into pages that the image has.
  case copy(MappedMedium, [iovec], Range<Int>)
  /// Pages ahead of a sequential writer. No command waits for it.
  case populate(MappedMedium, Range<Int>)

  /// Does it.
  /// - Returns: 0 or an errno.
  func perform() -> Int32 {
    switch self {
    case .read(let medium, var pieces, let offset):
      return medium.read(into: &pieces, pieces.count, at: offset)
    case .synchronize(let media):
      return media.reduce(0) { $0 == 0 ? $1.synchronize() : $0 }
    case .zero(let medium, let extents, let durable):
      for extent in extents {
        let failure = medium.zero(at: extent.offset, count: extent.length)
        guard failure == 0 else { return failure }
      }
      return durable ? medium.synchronize() : 0
    case .deallocate(let medium, let rest):
      return medium.finish(rest)
    case .copy(let medium, var pieces, let range):
      return medium.copy(&pieces, pieces.count, at: range.lowerBound)
    case .populate(let medium, let range):
      return medium.populate(range)
    }
  }
}

/// Work for a command.
struct Job: Sendable {
  /// The slot of the deferred command; -1 for work without a command.
  var slot: Int32
  var work: Work
  /// The eventfd that wakes the host's thread, which then calls `service`; -1 for none.
  var wakeDescriptor: Int32
}

/// The end of a job.
struct JobResult: Sendable {
  var slot: Int32
  var work: Work
  /// 0 or an errno.
  var failure: Int32
}
