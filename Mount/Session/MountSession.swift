import CFuse3
import CMachine
import FileProtocol
import Glibc
import Reactor

/// A FUSE mount as a channel of requests: the kernel's messages in, replies out, without any policy.
///
/// libfuse parses into the memory of a slot; a request keeps pointing there until its reply is sent. Belongs
/// to the reactor's thread.
public final class MountSession: RequestChannel {
  /// The mount's options.
  public let options: SessionOptions
  /// The mount point, once it is mounted.
  public private(set) var mountPoint: MountPoint?
  /// Called once, when the handshake is done and the mount is usable.
  public var whenUsable: () -> Void = {}

  /// The errno of every reply, once the service has ended while the mount has users; 0 before.
  private(set) var refusal: Int32 = 0

  let service: any FileService
  let slots: SlotLayout
  let requests: UnsafeMutablePointer<Request>
  let replies: UnsafeMutablePointer<Reply>
  private let arena: UnsafeMutableRawPointer
  private var session: OpaquePointer?
  /// libfuse's request of each slot in use.
  private let pending: UnsafeMutablePointer<OpaquePointer?>
  /// The id of the kernel's request in each slot in use whose operation libfuse does not support; 0 for none.
  private let unknown: UnsafeMutablePointer<UInt64>
  /// The id of the kernel's DESTROY, which is answered when the session is closed; 0 before it has arrived.
  private var destroy: UInt64 = 0

  /// The slot that a message is being received into, and whether it became a request.
  private var slot = 0
  private var arrived = false
  /// The message's operation (FUSE_* of linux/fuse.h); libfuse may have been given it as another's.
  private(set) var opcode: UInt32 = 0
  var handshake = Handshake()
  var postponed = PostponedRequests()
  var knownInodes: KnownInodes
  /// The reply being made opens a file for direct I/O, so that its writers may go on at the same time.
  var opensForParallelWrites = false
  /// The helper for operations that need rights, which are skipped without one.
  public var helper: Helper?
  /// Invalidates cached pages; made when first needed.
  private var pageForgetter: PageForgetter?
  /// Has the kernel write back for sync(2); made when first needed.
  private(set) var kernelWriteBack: KernelWriteBack?

  /// Makes a session that is not mounted yet.
  /// - Parameter arena: the memory that `slots` describes.
  /// - Throws: `MountError` when libfuse refuses the options.
  public init(
    service: any FileService, slots: SlotLayout, arena: UnsafeMutableRawPointer, options: SessionOptions
  ) throws(MountError) {
    self.service = service
    self.slots = slots
    self.arena = arena
    var options = options
    // A request must not be larger than a slot.
    options.maximumWrite = min(options.maximumWrite, UInt32(clamping: slots.maximumTransfer))
    options.maximumRead = min(options.maximumRead, UInt32(clamping: slots.maximumTransfer))
    self.options = options
    knownInodes = KnownInodes(limit: options.knownInodes)
    requests = service.requests
    replies = service.replies
    pending = .allocate(capacity: slots.count)
    pending.initialize(repeating: nil, count: slots.count)
    unknown = .allocate(capacity: slots.count)
    unknown.initialize(repeating: 0, count: slots.count)
    LibraryLog.capture()
    session = makeSession()
    guard session != nil else {
      throw MountError("libfuse refused the mount options \(options.argument): \(LibraryLog.take())")
    }
  }

  deinit {
    close()
    pending.deallocate()
    unknown.deallocate()
  }

  /// Mounts at a directory checked by `MountPoint.prepare`.
  /// - Throws: `MountError` when the kernel or fusermount3 refuses.
  public func mount(at point: MountPoint) throws(MountError) {
    let mount = try KernelMount(at: point, options)
    try attach(mount.takeDescriptor(), at: mount.point)
  }

  /// Serves an existing kernel mount, made by `KernelMount`.
  /// - Parameter descriptor: the descriptor of the kernel's requests, which the session closes.
  /// - Throws: `MountError` when libfuse refuses it.
  public func attach(_ descriptor: Int32, at point: MountPoint) throws(MountError) {
    var io = fuse_custom_io(
      writev: { descriptor, vector, count, userdata in
        MountSession.of(userdata).write(descriptor, vector, count)
      },
      read: { descriptor, buffer, size, _ in Glibc.read(descriptor, buffer, size) },
      splice_receive: nil, splice_send: nil)
    guard let session, cm_set_nonblocking(descriptor) == 0,
      fuse_session_custom_io(session, &io, descriptor) == 0
    else {
      Glibc.close(descriptor)
      throw MountError("libfuse refused the descriptor of \(point.path): \(LibraryLog.take())")
    }
    mountPoint = point
  }

  /// Raises the kernel's read-ahead to the options' value; the handshake alone cannot. To be called once the
  /// mount is usable; does nothing without permission.
  public func raiseReadahead() {
    if let mountPoint { helper?.raiseReadahead(mountPoint, to: options.readahead) }
  }

  /// Whether the kernel's page cache is write-back: asked for by the options, and granted by the kernel.
  public var writesBack: Bool { handshake.writesBack }

  /// Whether direct writes to one file may go on at the same time: asked for by the options, and possible with
  /// this kernel.
  public var writesInParallel: Bool { handshake.writesInParallel }

  /// Beyond how many known inodes the kernel is asked to drop some; nil where it cannot be asked.
  public var knownInodeLimit: Int? { handshake.prunes ? knownInodes.limit : nil }

  /// Whether the kernel has unmounted and waits for the session to be closed.
  public var isDestroyed: Bool { destroy != 0 }

  /// Closes the connection. A mount that is still there answers ENOTCONN from now on, and an umount(2) that
  /// waits returns.
  public func close() {
    guard let session else { return }
    if destroy != 0 { answer(unique: destroy, 0) }
    fuse_session_destroy(session)
    self.session = nil
    pageForgetter?.close()
    pageForgetter = nil
    kernelWriteBack?.close()
    kernelWriteBack = nil
  }

  public var descriptor: Int32 { session.map { fuse_session_fd($0) } ?? -1 }

  public func receive(into slot: Int) -> Receipt {
    guard let session, destroy == 0 else { return .ended }
    self.slot = slot
    if takePostponed() { return .request }
    arrived = false
    var buffer = fuse_buf()
    buffer.mem = message
    let size = fuse_session_receive_buf(session, &buffer)
    if size == -EAGAIN || size == -EINTR { return .empty }
    guard size > 0, fuse_session_exited(session) == 0 else { return .ended }
    let header = message.assumingMemoryBound(to: fuse_in_header.self)
    opcode = header.pointee.opcode
    switch opcode {
    case FUSE_SYNCFS.rawValue: return takeSync(header.pointee.unique, of: header.pointee.pid)
    case FUSE_TMPFILE.rawValue:
      // libfuse 3.14 does not know it. Message and reply are those of CREATE.
      header.pointee.opcode = FUSE_CREATE.rawValue
    case StatxReply.opcode: header.pointee.opcode = FUSE_GETATTR.rawValue
    case FUSE_DESTROY.rawValue:
      destroy = header.pointee.unique
      return .ended
    default: break
    }
    fuse_session_process_buf(session, &buffer)
    boundKnownInodes()
    if arrived { return .request }
    if handshake.justDone {
      handshake.justDone = false
      whenUsable()
    }
    return .consumed
  }

  /// Answers all waiting and new requests with an error, from the loop and without the service: for the users
  /// of a mount that has lost its device. The device must no longer access the slots.
  /// - Parameter whenEnded: called once the last user has left.
  public func refuse(_ errno: Int32, on loop: EventLoop, _ whenEnded: @escaping () -> Void) {
    refusal = errno
    for slot in 0..<slots.count { refuse(slot) }
    let descriptor = descriptor
    loop.watch(descriptor) { [unowned self] in
      let receipt = receive(into: 0)
      refuse(0)
      guard receipt == .ended else { return }
      loop.unwatch(descriptor)
      whenEnded()
    }
  }

  private func refuse(_ slot: Int) {
    replies[slot].error = refusal
    send(slot: slot)
  }

  public func send(slot: Int) {
    guard let request = pending[slot] else {
      if unknown[slot] != 0 { answer(unique: unknown[slot], replies[slot].error) }
      unknown[slot] = 0
      return
    }
    pending[slot] = nil
    answer(request, slot)
  }

  // MARK: Requests that libfuse does not support, or would answer at once

  private func takeSync(_ unique: UInt64, of process: UInt32) -> Receipt {
    // Processes of other PID namespaces have the id 0.
    if let kernelWriteBack, process != 0, process == kernelWriteBack.process {
      answer(unique: unique, 0)
      return .consumed
    }
    guard refusal == 0, let helper, let mountPoint, mountPoint.device != nil else {
      begin(sync: unique)
      return .request
    }
    let writeBack = kernelWriteBack ?? KernelWriteBack(mountPoint, helper)
    kernelWriteBack = writeBack
    writeBack.request { [unowned self] in
      if refusal == 0 { postponed.resume(sync: unique) } else { answer(unique: unique, refusal) }
    }
    return .consumed
  }

  /// Fills the current slot with a SYNCFS of the kernel.
  private func begin(sync unique: UInt64) {
    unknown[slot] = unique
    let taken = requests + slot
    taken.pointee = Request()
    slots.describe(slot, in: taken)
    taken.pointee.operation = .syncfs
  }

  /// Fills the current slot with a request that has waited, if there is one.
  private func takePostponed() -> Bool {
    switch postponed.next() {
    case nil: return false
    case .sync(let unique): begin(sync: unique)
    case .call(let call):
      requests[slot] = call.resumed(in: slot, slots, data(of: slot))
      pending[slot] = call.request
    }
    return true
  }

  /// Replies to a request of the kernel with an error, or 0.
  private func answer(unique: UInt64, _ error: Int32) {
    var header = fuse_out_header()
    header.len = UInt32(MemoryLayout<fuse_out_header>.size)
    header.error = -error
    header.unique = unique
    _ = Glibc.write(descriptor, &header, MemoryLayout<fuse_out_header>.size)
  }

  // MARK: For the operations

  /// The session of a libfuse request.
  static func of(_ request: OpaquePointer?) -> MountSession { of(fuse_req_userdata(request)) }

  static func of(_ userdata: UnsafeMutableRawPointer?) -> MountSession {
    guard let userdata else { preconditionFailure("libfuse lost the session's pointer") }
    return Unmanaged<MountSession>.fromOpaque(userdata).takeUnretainedValue()
  }

  /// The message being received, from its `fuse_in_header` on.
  var message: UnsafeMutableRawPointer { arena + slots.bufferOffset(slot) }

  /// The data frames of a slot.
  func data(of slot: Int) -> UnsafeMutableRawPointer {
    arena + slots.bufferOffset(slot) + SlotLayout.headerLead
  }

  /// Initializes the request in the current slot with its kind, node and caller; the rest has defaults.
  func take(_ request: OpaquePointer?, _ operation: Operation, _ node: fuse_ino_t)
    -> UnsafeMutablePointer<Request>
  {
    arrived = true
    pending[slot] = request
    let taken = requests + slot
    taken.pointee = Request()
    slots.describe(slot, in: taken)
    taken.pointee.operation = operation
    taken.pointee.node = UInt64(node)
    if let caller = fuse_req_ctx(request) {
      taken.pointee.uid = caller.pointee.uid
      taken.pointee.gid = caller.pointee.gid
      taken.pointee.pid = UInt32(bitPattern: caller.pointee.pid)
    }
    return taken
  }

  /// Passes a forget to the service, if there still is one.
  func forget(node: UInt64, count: UInt64) {
    if refusal == 0 { service.forget(node: node, count: count) }
  }

  /// Invalidates the kernel's cached attributes of a node.
  func forgetAttributes(of node: UInt64) {
    // A negative offset keeps the cached data.
    if let session { fuse_lowlevel_notify_inval_inode(session, fuse_ino_t(node), -1, 0) }
  }

  /// Invalidates cached pages in the kernel, which writes them back first.
  /// - Parameters:
  ///   - mayBeLate: whether `whenDone` may be called before that, where too much waits already.
  ///   - whenDone: called with true when it has, or with false when that was not possible.
  func forget(_ pages: ForgottenPages, mayBeLate: Bool, _ whenDone: @escaping (Bool) -> Void) {
    if pageForgetter == nil, let helper { pageForgetter = PageForgetter(descriptor, helper) }
    guard let pageForgetter else { return whenDone(false) }
    pageForgetter.forget(pages, mayBeLate: mayBeLate, whenDone)
  }

  /// Asks the kernel to drop inodes that are not in use.
  /// - Parameter whenDone: called with whether it was asked.
  func drop(_ nodes: Slice<UnsafeMutableBufferPointer<UInt64>>, _ whenDone: @escaping (Bool) -> Void) {
    if pageForgetter == nil, let helper { pageForgetter = PageForgetter(descriptor, helper) }
    guard let pageForgetter else { return whenDone(false) }
    pageForgetter.drop(nodes, whenDone)
  }

  private func makeSession() -> OpaquePointer? {
    var operations = Self.operations()
    return options.makeSession(&operations, Unmanaged.passUnretained(self).toOpaque())
  }
}
