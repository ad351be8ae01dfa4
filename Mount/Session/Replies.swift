import CFuse3
import FileProtocol
import Glibc

extension MountSession {
  /// Sends the reply of `slot` as the answer to `request`.
  func answer(_ request: OpaquePointer, _ slot: Int) {
    let reply = replies + slot
    let asked = requests + slot
    if reply.pointee.writtenBackFirst != 0 {
      return postpone(request, asked.pointee, until: reply.pointee.writtenBackFirst)
    }
    // Before the reply: a program must not see older attributes after the operation has returned.
    if reply.pointee.attributesChanged { forgetAttributes(of: asked.pointee.node) }
    if let bytes = reply.pointee.staleBytes, bytes.upperBound > bytes.lowerBound {
      return answerWriteOnceForgotten(request, asked.pointee.node, bytes, reply.pointee)
    }
    guard reply.pointee.error == 0 else {
      fuse_reply_err(request, reply.pointee.error)
      return
    }
    switch asked.pointee.operation {
    case .lookup, .mknod, .mkdir, .symlink, .link: answerEntry(request, reply)
    case .create, .createUnnamed: answerCreate(request, asked, reply)
    case .getattr, .setattr: answerAttributes(request, asked, reply)
    case .open: answerOpen(request, asked, reply)
    case .opendir: answerOpenDirectory(request, reply)
    case .read: answerRead(request, reply, slot)
    case .write: fuse_reply_write(request, Int(clamping: reply.pointee.count))
    case .readdir, .readdirplus: answerDirectory(request, asked, reply, slot)
    case .readlink: answerBytes(request, reply)
    case .getxattr, .listxattr: answerExtendedAttribute(request, asked, reply)
    case .statfs: answerSpace(request, reply)
    case .lseek: fuse_reply_lseek(request, off_t(clamping: reply.pointee.offset))
    case .syncfs, .unlink, .rmdir, .rename, .flush, .release, .fsync, .releasedir, .fsyncdir, .setxattr,
      .removexattr,
      .fallocate:
      fuse_reply_err(request, 0)
    }
  }

  /// An entry with its attributes, for the kernel's caches.
  func entry(_ node: UInt64, _ attributes: Attributes) -> fuse_entry_param {
    var entry = fuse_entry_param()
    entry.ino = fuse_ino_t(node)
    entry.attr = stat(attributes)
    entry.attr_timeout = options.timeout
    entry.entry_timeout = options.timeout
    return entry
  }

  private func answerEntry(_ request: OpaquePointer, _ reply: UnsafeMutablePointer<Reply>) {
    let node = reply.pointee.node
    var entry = entry(node, reply.pointee.attributes)
    if reply.pointee.isUnreadable {
      entry.attr_timeout = 0
      entry.entry_timeout = 0
    }
    takeBack(node, unless: fuse_reply_entry(request, &entry))
  }

  private func answerCreate(
    _ request: OpaquePointer, _ asked: UnsafeMutablePointer<Request>, _ reply: UnsafeMutablePointer<Reply>
  ) {
    let node = reply.pointee.node
    var entry = entry(node, reply.pointee.attributes)
    var file = file(reply, asked)
    defer { opensForParallelWrites = false }
    takeBack(node, unless: fuse_reply_create(request, &entry, &file))
  }

  /// Undoes a lookup that the kernel did not receive because its caller was interrupted.
  private func takeBack(_ node: UInt64, unless result: Int32) {
    guard result != 0, node != 0 else { return }
    service.forget(node: node, count: 1)
  }

  private func answerAttributes(
    _ request: OpaquePointer, _ asked: UnsafeMutablePointer<Request>, _ reply: UnsafeMutablePointer<Reply>
  ) {
    let validity = reply.pointee.isDoubtful ? 0 : options.timeout
    if asked.pointee.asksBirthTime {
      return StatxReply(reply.pointee.attributes, validity: validity).send(to: request)
    }
    var attributes = stat(reply.pointee.attributes)
    fuse_reply_attr(request, &attributes, validity)
  }

  private func answerOpen(
    _ request: OpaquePointer, _ asked: UnsafeMutablePointer<Request>, _ reply: UnsafeMutablePointer<Reply>
  ) {
    var file = file(reply, asked)
    defer { opensForParallelWrites = false }
    fuse_reply_open(request, &file)
  }

  private func answerOpenDirectory(_ request: OpaquePointer, _ reply: UnsafeMutablePointer<Reply>) {
    var file = file(reply)
    file.cache_readdir = 1
    file.keep_cache = 1
    fuse_reply_open(request, &file)
  }

  /// How a regular file is opened: with O_DIRECT for parallel direct writes, where these are wanted.
  private func file(
    _ reply: UnsafeMutablePointer<Reply>, _ asked: UnsafeMutablePointer<Request>
  ) -> fuse_file_info {
    var file = file(reply)
    opensForParallelWrites = writesInParallel && asked.pointee.flags & UInt32(__O_DIRECT) != 0
    if opensForParallelWrites { file.direct_io = 1 }
    return file
  }

  private func file(_ reply: UnsafeMutablePointer<Reply>) -> fuse_file_info {
    var file = fuse_file_info()
    file.fh = reply.pointee.handle
    file.keep_cache = reply.pointee.keepCache ? 1 : 0
    file.noflush = 1
    return file
  }

  private func answerRead(_ request: OpaquePointer, _ reply: UnsafeMutablePointer<Reply>, _ slot: Int) {
    let start = data(of: slot) + reply.pointee.dataOffset
    fuse_reply_buf(request, start.assumingMemoryBound(to: CChar.self), Int(clamping: reply.pointee.count))
  }

  /// Replies to a write after the kernel has invalidated its cached pages of the range.
  private func answerWriteOnceForgotten(
    _ request: OpaquePointer, _ node: UInt64, _ bytes: Range<UInt64>, _ reply: Reply
  ) {
    let (error, count) = (reply.error, Int(clamping: reply.count))
    let isAll = bytes.upperBound > UInt64(Int64.max) - 1
    let range = ForgottenPages(
      node: node, offset: Int64(clamping: bytes.lowerBound), length: isAll ? 0 : Int64(clamping: bytes.count))
    forget(range, mayBeLate: true) { isForgotten in
      // The write was carried out, but a read through the page cache might return old data.
      let code = error != 0 ? error : isForgotten ? 0 : EIO
      if code != 0 { fuse_reply_err(request, code) } else { fuse_reply_write(request, count) }
    }
  }

  private func answerBytes(_ request: OpaquePointer, _ reply: UnsafeMutablePointer<Reply>) {
    reply.pointee.bytes.withUnsafeBytes { bytes in
      _ = fuse_reply_buf(request, bytes.baseAddress?.assumingMemoryBound(to: CChar.self), bytes.count)
    }
  }

  private func answerExtendedAttribute(
    _ request: OpaquePointer, _ asked: UnsafeMutablePointer<Request>, _ reply: UnsafeMutablePointer<Reply>
  ) {
    if asked.pointee.length == 0 {
      fuse_reply_xattr(request, Int(clamping: reply.pointee.count))
    } else if UInt64(reply.pointee.bytes.count) > asked.pointee.length {
      fuse_reply_err(request, ERANGE)
    } else {
      answerBytes(request, reply)
    }
  }

  private func answerSpace(_ request: OpaquePointer, _ reply: UnsafeMutablePointer<Reply>) {
    let space = reply.pointee.space
    var answer = statvfs()
    answer.f_bsize = 4096
    answer.f_frsize = 4096
    answer.f_blocks = fsblkcnt_t(space.blocks)
    answer.f_bfree = fsblkcnt_t(space.free)
    answer.f_bavail = fsblkcnt_t(space.available)
    answer.f_files = fsfilcnt_t(space.files)
    answer.f_ffree = fsfilcnt_t(space.filesFree)
    answer.f_favail = fsfilcnt_t(space.filesFree)
    answer.f_namemax = 255
    fuse_reply_statfs(request, &answer)
  }
}
