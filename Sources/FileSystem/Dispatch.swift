import Format

extension FileSystem {
  /// Runs the request in `slot`; every operation replies, or throws before it changed anything.
  func dispatch(_ slot: Int) throws(Stop) {
    let request = requests[slot]
    switch request.operation {
    case .lookup: try lookup(slot)
    case .getattr: try getAttributes(slot)
    case .setattr: try setAttributes(slot)
    case .readlink: try readLink(slot)
    case .mknod: try makeAndReply(slot, mode: request.mode)
    case .mkdir: try makeAndReply(slot, mode: (request.mode & 0o7777) | 0o040000)
    case .symlink: try makeAndReply(slot, mode: 0o120777)
    case .unlink: try unlink(slot, isDirectory: false)
    case .rmdir: try unlink(slot, isDirectory: true)
    case .link: try link(slot)
    case .rename: try rename(slot)
    case .open: try open(slot)
    case .create: try create(slot)
    case .read: try read(slot)
    case .write: try write(slot)
    case .flush, .releasedir: finish(slot)
    case .release: try release(slot)
    case .fsync, .fsyncdir: try sync(slot, request.node)
    case .opendir: try openDirectory(slot)
    case .readdir: try readDirectory(slot, full: false)
    case .readdirplus: try readDirectory(slot, full: true)
    case .statfs:
      replies[slot].space = spaceReport
      finish(slot)
    case .syncfs: try syncAll(slot)
    case .setxattr: try setExtendedAttribute(slot)
    case .getxattr: try getExtendedAttribute(slot)
    case .listxattr: try listExtendedAttributes(slot)
    case .removexattr: try removeExtendedAttribute(slot)
    case .fallocate: try allocate(slot)
    case .lseek: try seek(slot)
    }
  }
}
