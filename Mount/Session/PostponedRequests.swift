import CFuse3
import FileProtocol
import Glibc
import Reactor

/// Requests that wait until the kernel has written a file back, and are then received once more.
///
/// With a write-back cache the kernel sends a rename, or a search for data and holes, while it still holds
/// writes to the file. Such a request has given its slot back: the kernel's writes need slots, and with all of
/// them waiting nothing would go on.
struct PostponedRequests {
  /// A request without the memory of its slot.
  struct Postponed {
    /// libfuse's request.
    let request: OpaquePointer
    private let asked: Request
    private let name: [UInt8]
    private let otherName: [UInt8]

    init(_ request: OpaquePointer, _ asked: Request) {
      self.request = request
      self.asked = asked
      name = Array(asked.name)
      otherName = Array(asked.otherName)
    }

    /// The request in a slot, whose data frames from `memory` on take the names.
    func resumed(in slot: Int, _ slots: SlotLayout, _ memory: UnsafeMutableRawPointer) -> Request {
      var resumed = asked
      resumed.isWrittenBack = true
      slots.describe(slot, in: &resumed)
      resumed.name = Self.keep(name, at: memory)
      resumed.otherName = Self.keep(otherName, at: memory + name.count)
      return resumed
    }

    private static func keep(_ name: [UInt8], at memory: UnsafeMutableRawPointer) -> UnsafeRawBufferPointer {
      name.withUnsafeBytes {
        if let start = $0.baseAddress { memory.copyMemory(from: start, byteCount: $0.count) }
      }
      return UnsafeRawBufferPointer(start: memory, count: name.count)
    }
  }

  /// Those whose file is written back, in order.
  private var ready: [Postponed] = []

  mutating func resume(_ postponed: Postponed) { ready.append(postponed) }

  /// The next request to be received, if there is one.
  mutating func next() -> Postponed? { ready.isEmpty ? nil : ready.removeFirst() }
}

extension MountSession {
  /// Has the kernel write a file back, and drop its pages, before a request is carried out.
  func postpone(_ request: OpaquePointer, _ asked: Request, until node: UInt64) {
    let postponed = PostponedRequests.Postponed(request, asked)
    forget(ForgottenPages(node: node, offset: 0, length: 0), mayBeLate: false) { [unowned self] isWritten in
      if isWritten, refusal == 0 { return self.postponed.resume(postponed) }
      fuse_reply_err(request, refusal == 0 ? EIO : refusal)
    }
  }

  /// Fills the slot with a request that has waited, if there is one.
  func takePostponed(_ slot: Int) -> Bool {
    guard let next = postponed.next() else { return false }
    requests[slot] = next.resumed(in: slot, slots, data(of: slot))
    hold(next.request, in: slot)
    return true
  }
}
