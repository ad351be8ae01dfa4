import CFuse3
import FileProtocol
import Glibc
import Reactor

// Each of libfuse's callbacks becomes a `Request` in the current slot. libfuse answers operations that are
// not here (locks, poll, bmap, …) with ENOSYS, and the kernel handles them itself.

extension MountSession {
  static func operations() -> fuse_lowlevel_ops {
    var table = fuse_lowlevel_ops()
    addSession(&table)
    addNames(&table)
    addAttributes(&table)
    addFiles(&table)
    addDirectories(&table)
    addExtendedAttributes(&table)
    return table
  }

  private static func addSession(_ table: inout fuse_lowlevel_ops) {
    table.`init` = { userdata, connection in
      guard let connection else { return }
      let session = MountSession.of(userdata)
      session.handshake.choose(connection, session.message, session.options)
    }
    table.forget = { request, node, count in
      MountSession.of(request).forget(node: UInt64(node), count: count)
      fuse_reply_none(request)
    }
    table.forget_multi = { request, count, list in
      let session = MountSession.of(request)
      for entry in UnsafeBufferPointer(start: list, count: count) {
        session.forget(node: UInt64(entry.ino), count: entry.nlookup)
      }
      fuse_reply_none(request)
    }
    table.statfs = { request, node in _ = MountSession.of(request).take(request, .statfs, node) }
    table.ioctl = { request, _, _, _, _, _, _, _, _ in fuse_reply_err(request, ENOTTY) }
  }

  private static func addNames(_ table: inout fuse_lowlevel_ops) {
    table.lookup = { request, parent, name in
      MountSession.of(request).take(request, .lookup, parent).pointee.name = bytes(name)
    }
    table.mknod = { request, parent, name, mode, device in
      let taken = MountSession.of(request).take(request, .mknod, parent)
      taken.pointee.name = bytes(name)
      taken.pointee.mode = mode
      taken.pointee.device = UInt32(truncatingIfNeeded: device)
    }
    table.mkdir = { request, parent, name, mode in
      let taken = MountSession.of(request).take(request, .mkdir, parent)
      taken.pointee.name = bytes(name)
      taken.pointee.mode = mode
    }
    table.unlink = { request, parent, name in
      MountSession.of(request).take(request, .unlink, parent).pointee.name = bytes(name)
    }
    table.rmdir = { request, parent, name in
      MountSession.of(request).take(request, .rmdir, parent).pointee.name = bytes(name)
    }
    table.symlink = { request, target, parent, name in
      let taken = MountSession.of(request).take(request, .symlink, parent)
      taken.pointee.name = bytes(name)
      taken.pointee.otherName = bytes(target)
    }
    table.link = { request, node, parent, name in
      let taken = MountSession.of(request).take(request, .link, parent)
      taken.pointee.otherNode = UInt64(node)
      taken.pointee.name = bytes(name)
    }
    table.rename = { request, parent, name, newParent, newName, flags in
      let session = MountSession.of(request)
      let taken = session.take(request, .rename, parent)
      taken.pointee.otherNode = UInt64(newParent)
      taken.pointee.name = bytes(name)
      taken.pointee.otherName = bytes(newName)
      taken.pointee.flags = flags
      taken.pointee.isWrittenBack = !session.writesBack
    }
    table.readlink = { request, node in _ = MountSession.of(request).take(request, .readlink, node) }
  }

  private static func addAttributes(_ table: inout fuse_lowlevel_ops) {
    table.getattr = { request, node, _ in
      let session = MountSession.of(request)
      let taken = session.take(request, .getattr, node)
      // A GETATTR for stat(2) or fstat(2) has no file handle; one before a read(2) up to the file's end has.
      let flags = session.argument(as: fuse_getattr_in.self).pointee.getattr_flags
      taken.pointee.isForReading = flags & UInt32(FUSE_GETATTR_FH) != 0
      taken.pointee.asksBirthTime = session.opcode == StatxReply.opcode
    }
    table.setattr = { request, node, attributes, set, file in
      guard let attributes else {
        fuse_reply_err(request, EIO)
        return
      }
      let session = MountSession.of(request)
      let taken = session.take(request, .setattr, node)
      taken.pointee.change = AttributeChange(attributes.pointee, set: set)
      if let file { taken.pointee.handle = file.pointee.fh }
      let valid = session.argument(as: fuse_setattr_in.self).pointee.valid
      taken.pointee.killPrivileges = valid & UInt32(FATTR_KILL_SUIDGID) != 0
    }
  }

  private static func addFiles(_ table: inout fuse_lowlevel_ops) {
    table.open = { request, node, file in
      let session = MountSession.of(request)
      guard !session.handshake.opensInKernel, let file else {
        fuse_reply_err(request, ENOSYS)
        return
      }
      session.take(request, .open, node).pointee.flags = UInt32(bitPattern: file.pointee.flags)
    }
    table.create = { request, parent, name, mode, file in
      let session = MountSession.of(request)
      let isUnnamed = session.opcode == FUSE_TMPFILE.rawValue
      let taken = session.take(request, isUnnamed ? .createUnnamed : .create, parent)
      taken.pointee.name = bytes(name)
      taken.pointee.mode = mode
      if let file { taken.pointee.flags = UInt32(bitPattern: file.pointee.flags) }
    }
    table.read = { request, node, size, offset, file in
      let session = MountSession.of(request)
      let taken = session.take(request, .read, node)
      taken.fill(file, offset: offset, length: size)
      let flags = session.argument(as: fuse_read_in.self).pointee.read_flags
      taken.pointee.isDirect = flags & UInt32(FUSE_READ_LOCKOWNER) != 0
    }
    table.write = { request, node, payload, size, offset, file in
      let session = MountSession.of(request)
      let taken = session.take(request, .write, node)
      taken.fill(file, offset: offset, length: size)
      if let payload { taken.pointee.payloadOffset = UnsafeRawPointer(payload) - session.payloadStart }
      let flags = session.argument(as: fuse_write_in.self).pointee.write_flags
      taken.pointee.killPrivileges = flags & UInt32(FUSE_WRITE_KILL_SUIDGID) != 0
      // The kernel sets the lock owner for direct I/O, and not for its page cache.
      taken.pointee.isDirect = flags & UInt32(FUSE_WRITE_LOCKOWNER) != 0
      taken.pointee.isWriteback = flags & UInt32(FUSE_WRITE_CACHE) != 0
      if taken.pointee.isWriteback { session.kernelWriteBack?.countWriteBack() }
      taken.pointee.keepsTimes = session.writesBack
    }
    // Everything written has reached the service already.
    table.flush = { request, _, _ in fuse_reply_err(request, ENOSYS) }
    table.release = { request, node, file in
      MountSession.of(request).take(request, .release, node).fill(file)
    }
    table.fsync = { request, node, dataOnly, file in
      let taken = MountSession.of(request).take(request, .fsync, node)
      taken.fill(file)
      taken.pointee.flags = dataOnly != 0 ? 1 : 0
    }
    table.fallocate = { request, node, mode, offset, length, file in
      let session = MountSession.of(request)
      let taken = session.take(request, .fallocate, node)
      taken.pointee.keepsTimes = session.writesBack
      taken.fill(file, offset: offset, length: length)
      taken.pointee.flags = UInt32(bitPattern: mode)
      // FUSE has no flag for it in this operation, unlike for writes.
      taken.pointee.killPrivileges = taken.pointee.uid != 0
    }
    table.lseek = { request, node, offset, whence, file in
      let session = MountSession.of(request)
      let taken = session.take(request, .lseek, node)
      taken.fill(file, offset: offset, length: 0)
      taken.pointee.flags = UInt32(bitPattern: whence)
      taken.pointee.isWrittenBack = !session.writesBack
    }
  }

  private static func addDirectories(_ table: inout fuse_lowlevel_ops) {
    table.opendir = { request, node, file in
      let session = MountSession.of(request)
      guard !session.handshake.directoryOpensInKernel else {
        fuse_reply_err(request, ENOSYS)
        return
      }
      session.take(request, .opendir, node).fill(file)
    }
    table.readdir = { request, node, size, offset, file in
      MountSession.of(request).take(request, .readdir, node).fill(file, offset: offset, length: size)
    }
    table.readdirplus = { request, node, size, offset, file in
      MountSession.of(request).take(request, .readdirplus, node).fill(file, offset: offset, length: size)
    }
    table.releasedir = { request, node, file in
      MountSession.of(request).take(request, .releasedir, node).fill(file)
    }
    table.fsyncdir = { request, node, dataOnly, file in
      let taken = MountSession.of(request).take(request, .fsyncdir, node)
      taken.fill(file)
      taken.pointee.flags = dataOnly != 0 ? 1 : 0
    }
  }

  private static func addExtendedAttributes(_ table: inout fuse_lowlevel_ops) {
    table.setxattr = { request, node, name, value, size, flags in
      let taken = MountSession.of(request).take(request, .setxattr, node)
      taken.pointee.name = bytes(name)
      taken.pointee.otherName = UnsafeRawBufferPointer(start: value, count: size)
      taken.pointee.flags = UInt32(bitPattern: flags)
    }
    table.getxattr = { request, node, name, size in
      let taken = MountSession.of(request).take(request, .getxattr, node)
      taken.pointee.name = bytes(name)
      taken.pointee.length = UInt64(size)
    }
    table.listxattr = { request, node, size in
      MountSession.of(request).take(request, .listxattr, node).pointee.length = UInt64(size)
    }
    table.removexattr = { request, node, name in
      MountSession.of(request).take(request, .removexattr, node).pointee.name = bytes(name)
    }
  }

  /// Where the payload of the current message begins if it is a write.
  private var payloadStart: UnsafeRawPointer { UnsafeRawPointer(message) + SlotLayout.headerLead }

  /// The operation's structure in the current message, for fields that libfuse does not pass.
  private func argument<Structure>(as type: Structure.Type) -> UnsafePointer<Structure> {
    UnsafePointer((message + MemoryLayout<fuse_in_header>.size).assumingMemoryBound(to: type))
  }
}

extension UnsafeMutablePointer<Request> {
  /// Sets the fields of a request on an open file.
  fileprivate func fill(_ file: UnsafeMutablePointer<fuse_file_info>?, offset: Int = 0, length: Int = 0) {
    pointee.offset = UInt64(bitPattern: Int64(offset))
    pointee.length = UInt64(bitPattern: Int64(length))
    guard let file else { return }
    pointee.handle = file.pointee.fh
    pointee.flags = UInt32(bitPattern: file.pointee.flags)
  }
}

/// A C string as bytes, without its NUL.
private func bytes(_ text: UnsafePointer<CChar>?) -> UnsafeRawBufferPointer {
  guard let text else { return UnsafeRawBufferPointer(start: nil, count: 0) }
  return UnsafeRawBufferPointer(start: text, count: strlen(text))
}
