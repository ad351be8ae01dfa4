import CFuse3
import FileSystem
import Glibc

extension stat {
  /// The attributes as stat(2) shows them.
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
    st_atim = timespec(nanoseconds: attributes.accessTime)
    st_mtim = timespec(nanoseconds: attributes.modificationTime)
    st_ctim = timespec(nanoseconds: attributes.changeTime)
  }
}

extension timespec {
  /// A time in nanoseconds since 1970, which may be before it.
  init(nanoseconds: Int64) {
    let second: Int64 = 1_000_000_000
    let rest = nanoseconds % second
    let below = rest < 0
    self.init(
      tv_sec: Int(nanoseconds / second) - (below ? 1 : 0), tv_nsec: Int(below ? rest + second : rest))
  }

  /// Nanoseconds since 1970; the nearest there are when that is too far off.
  var nanoseconds: Int64 {
    let (product, overflow) = Int64(tv_sec).multipliedReportingOverflow(by: 1_000_000_000)
    guard !overflow else { return tv_sec < 0 ? .min : .max }
    let (sum, carried) = product.addingReportingOverflow(Int64(tv_nsec))
    return carried ? .max : sum
  }
}

extension AttributeChange {
  /// What of `attributes` is to be set, by libfuse's FUSE_SET_ATTR_* bits.
  init(_ attributes: stat, set: Int32) {
    self.init()
    if set & FUSE_SET_ATTR_MODE != 0 { mode = attributes.st_mode }
    if set & FUSE_SET_ATTR_UID != 0 { uid = attributes.st_uid }
    if set & FUSE_SET_ATTR_GID != 0 { gid = attributes.st_gid }
    if set & FUSE_SET_ATTR_SIZE != 0 { size = UInt64(max(0, attributes.st_size)) }
    if set & FUSE_SET_ATTR_ATIME != 0 { accessTime = attributes.st_atim.nanoseconds }
    if set & FUSE_SET_ATTR_MTIME != 0 { modificationTime = attributes.st_mtim.nanoseconds }
    accessTimeNow = set & FUSE_SET_ATTR_ATIME_NOW != 0
    modificationTimeNow = set & FUSE_SET_ATTR_MTIME_NOW != 0
  }
}
