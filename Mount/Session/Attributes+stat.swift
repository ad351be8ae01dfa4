import CFuse3
import FileProtocol
import Glibc

extension stat {
  /// The attributes in the form of stat(2).
  init(_ attributes: Attributes) {
    self.init()
    st_ino = ino_t(attributes.number)
    st_mode = attributes.mode
    st_nlink = nlink_t(attributes.links)
    st_uid = attributes.uid
    st_gid = attributes.gid
    st_rdev = dev_t(attributes.device)
    st_size = off_t(clamping: attributes.size)
    st_blksize = 4096
    st_blocks = blkcnt_t(clamping: attributes.sectors)
    st_atim = KernelTime.split(attributes.accessTime)
    st_mtim = KernelTime.split(attributes.modificationTime)
    st_ctim = KernelTime.split(attributes.changeTime)
  }
}

extension AttributeChange {
  /// The attributes to set, selected by libfuse's FUSE_SET_ATTR_* bits.
  init(_ attributes: stat, set: Int32) {
    self.init()
    if set & FUSE_SET_ATTR_MODE != 0 { mode = attributes.st_mode }
    if set & FUSE_SET_ATTR_UID != 0 { uid = attributes.st_uid }
    if set & FUSE_SET_ATTR_GID != 0 { gid = attributes.st_gid }
    if set & FUSE_SET_ATTR_SIZE != 0 { size = UInt64(max(0, attributes.st_size)) }
    if set & FUSE_SET_ATTR_ATIME != 0 { accessTime = KernelTime.join(attributes.st_atim) }
    if set & FUSE_SET_ATTR_MTIME != 0 { modificationTime = KernelTime.join(attributes.st_mtim) }
    if set & FUSE_SET_ATTR_CTIME != 0 { changeTime = KernelTime.join(attributes.st_ctim) }
    accessTimeNow = set & FUSE_SET_ATTR_ATIME_NOW != 0
    modificationTimeNow = set & FUSE_SET_ATTR_MTIME_NOW != 0
  }
}
