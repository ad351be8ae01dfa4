import CFuse3
import FileProtocol

/// The reply to STATX (Linux 6.6, protocol 7.39): all attributes and the birth time. The kernel sends STATX
/// instead of GETATTR where a program asks for the birth time, and no other fields of statx(2) reach the
/// program. libfuse 3.14 does not know the request; its first fields are those of GETATTR.
struct StatxReply {
  /// FUSE_STATX of linux/fuse.h.
  static let opcode: UInt32 = 52
  /// STATX_BASIC_STATS and STATX_BTIME of linux/stat.h.
  private static let allFields: UInt32 = 0xFFF

  /// `struct fuse_sx_time`.
  private struct Time {
    var seconds: Int64
    var nanoseconds: UInt32
    var reserved: Int32 = 0

    init(_ time: Int64) {
      let split = KernelTime.split(time)
      seconds = Int64(split.tv_sec)
      nanoseconds = UInt32(truncatingIfNeeded: split.tv_nsec)
    }
  }

  // `struct fuse_statx_out`.
  private var validSeconds: UInt64
  private var validNanoseconds: UInt32 = 0
  private var flags: UInt32 = 0
  private var spare: (UInt64, UInt64) = (0, 0)
  // `struct fuse_statx`.
  private var mask = Self.allFields
  private var blockSize: UInt32 = 4096
  private var attributes: UInt64 = 0
  private var links: UInt32
  private var uid: UInt32
  private var gid: UInt32
  private var mode: UInt16
  private var padding: UInt16 = 0
  private var number: UInt64
  private var size: UInt64
  private var sectors: UInt64
  private var attributesMask: UInt64 = 0
  private var accessTime: Time
  private var birthTime: Time
  private var changeTime: Time
  private var modificationTime: Time
  private var device: (major: UInt32, minor: UInt32)
  private var filesystem: (UInt32, UInt32) = (0, 0)
  private var rest = InlineArray<14, UInt64>(repeating: 0)

  /// - Parameter validity: how long the kernel may use the attributes, in seconds.
  init(_ attributes: Attributes, validity: Double) {
    validSeconds = UInt64(validity)
    links = attributes.links
    uid = attributes.uid
    gid = attributes.gid
    mode = UInt16(truncatingIfNeeded: attributes.mode)
    number = attributes.number
    size = attributes.size
    sectors = attributes.sectors
    accessTime = Time(attributes.accessTime)
    birthTime = Time(attributes.birthTime)
    changeTime = Time(attributes.changeTime)
    modificationTime = Time(attributes.modificationTime)
    // The kernel's encoding of device numbers in FUSE: 8 bits of the minor, 12 of the major, 12 of the minor.
    device = (attributes.device >> 8 & 0xFFF, attributes.device & 0xFF | attributes.device >> 12 & 0xFFF00)
  }

  /// Replies to a request that libfuse takes for a GETATTR.
  func send(to request: OpaquePointer) {
    withUnsafeBytes(of: self) { bytes in
      _ = fuse_reply_buf(request, bytes.baseAddress?.assumingMemoryBound(to: CChar.self), bytes.count)
    }
  }
}
