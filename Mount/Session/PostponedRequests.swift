import CFuse3
import FileProtocol
import Glibc
import Reactor

/// Requests that wait until the kernel has written a file back, and are then received once more.
///
/// The kernel sends SYNCFS while it still holds writes to any file, and with a write-back cache a rename, or a
/// search for data and holes, while it still holds writes to that file. Such a request has no slot while it
/// waits: the kernel's writes need slots, and with all of them waiting nothing would go on.
struct PostponedRequests {
  enum Postponed {
    case call(Call)
    /// The id of a SYNCFS.
    case sync(UInt64)
  }

  /// A request without the memory of its slot.
  struct Call {
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

  /// Those that have waited long enough, in order.
  private var ready: [Postponed] = []

  mutating func resume(_ call: Call) { ready.append(.call(call)) }

  mutating func resume(sync unique: UInt64) { ready.append(.sync(unique)) }

  /// The next request to be received, if there is one.
  mutating func next() -> Postponed? { ready.isEmpty ? nil : ready.removeFirst() }
}

extension MountSession {
  /// Has the kernel write a file back, and drop its pages, before a request is carried out.
  func postpone(_ request: OpaquePointer, _ asked: Request, until node: UInt64) {
    let call = PostponedRequests.Call(request, asked)
    forget(ForgottenPages(node: node, offset: 0, length: 0), mayBeLate: false) { [unowned self] isWritten in
      if isWritten, refusal == 0 { return postponed.resume(call) }
      fuse_reply_err(request, refusal == 0 ? EIO : refusal)
    }
  }
}
