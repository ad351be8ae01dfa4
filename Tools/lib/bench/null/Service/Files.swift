import FileProtocol
import Glibc

// Operations on files' attributes and data.

extension MemoryService {
  func setAttributes(_ request: RequestPointer, _ reply: ReplyPointer) throws(Failure) {
    let found = try node(request.pointee.node)
    let change = request.pointee.change
    if let size = change.size { try resize(found, size) }
    let isGiven = (change.uid != nil || change.gid != nil) && found.directory == nil
    if isGiven || request.pointee.killPrivileges { found.killPrivileges() }
    if let uid = change.uid { found.attributes.uid = uid }
    if let gid = change.gid { found.attributes.gid = gid }
    if let mode = change.mode { found.attributes.mode = found.attributes.mode & S_IFMT | mode & 0o7777 }
    if change.accessTimeNow { found.attributes.accessTime = now.realtime }
    if change.modificationTimeNow { found.attributes.modificationTime = now.realtime }
    if let time = change.accessTime, !change.accessTimeNow { found.attributes.accessTime = time }
    if let time = change.modificationTime, !change.modificationTimeNow {
      found.attributes.modificationTime = time
    }
    found.attributes.changeTime = now.realtime
    reply.pointee.attributes = found.attributes
  }

  func open(_ request: RequestPointer, _ reply: ReplyPointer) throws(Failure) {
    let found = try node(request.pointee.node)
    reply.pointee.handle = 0
    reply.pointee.keepCache = true
    if request.pointee.flags & UInt32(O_TRUNC) != 0, found.isFile { try resize(found, 0) }
  }

  func read(_ request: RequestPointer, _ reply: ReplyPointer) throws(Failure) {
    let found = try node(request.pointee.node)
    let offset = min(request.pointee.offset, found.attributes.size)
    let count = Int(min(request.pointee.length, found.attributes.size - offset))
    reply.pointee.count = UInt64(count)
    reply.pointee.dataOffset = 0
    let target = frames(request)
    if let bytes = found.bytes {
      bytes.read(target, offset: Int(offset), count: count)
    } else if keepsData {
      memset(target, 0, count)
    }
  }

  func write(_ request: RequestPointer, _ reply: ReplyPointer) throws(Failure) {
    let found = try node(request.pointee.node)
    let (end, overflow) = request.pointee.offset.addingReportingOverflow(request.pointee.length)
    guard !overflow, end <= Self.largestFile else { throw Failure(EFBIG) }
    if keepsData {
      let bytes = found.bytes ?? FileBytes()
      found.bytes = bytes
      let source = frames(request) + request.pointee.payloadOffset
      guard bytes.write(source, offset: Int(request.pointee.offset), count: Int(request.pointee.length))
      else {
        throw Failure(ENOSPC)
      }
    }
    reply.pointee.attributesChanged = request.pointee.killPrivileges && found.killPrivileges()
    found.attributes.size = max(found.attributes.size, end)
    account(found)
    found.touched(now.realtime)
    reply.pointee.count = request.pointee.length
  }

  func allocate(_ request: RequestPointer) throws(Failure) {
    let found = try node(request.pointee.node)
    let flags = request.pointee.flags
    let (end, overflow) = request.pointee.offset.addingReportingOverflow(request.pointee.length)
    guard !overflow, end <= Self.largestFile else { throw Failure(EFBIG) }
    guard flags & ~(Self.keepSize | Self.punchHole | Self.zeroRange) == 0 else { throw Failure(EOPNOTSUPP) }
    if flags & (Self.punchHole | Self.zeroRange) != 0 {
      found.bytes?.zero(offset: Int(request.pointee.offset), count: Int(request.pointee.length))
    }
    if flags & Self.keepSize == 0 { found.attributes.size = max(found.attributes.size, end) }
    account(found)
    found.touched(now.realtime)
  }

  func seek(_ request: RequestPointer, _ reply: ReplyPointer) throws(Failure) {
    let found = try node(request.pointee.node)
    guard request.pointee.offset < found.attributes.size else { throw Failure(ENXIO) }
    let wantsData = request.pointee.flags == Self.seekData
    let next = found.bytes?.next(data: wantsData, from: Int(request.pointee.offset))
    if let next, UInt64(next) < found.attributes.size {
      reply.pointee.offset = UInt64(next)
    } else if wantsData {
      throw Failure(ENXIO)
    } else {
      reply.pointee.offset = found.bytes == nil ? request.pointee.offset : found.attributes.size
    }
  }

  // Constants whose macros Swift cannot import.
  private static let keepSize: UInt32 = 1
  private static let punchHole: UInt32 = 2
  private static let zeroRange: UInt32 = 16
  private static let seekData: UInt32 = 3
  private static let largestFile: UInt64 = 1 << 40

  private func resize(_ node: Node, _ size: UInt64) throws(Failure) {
    guard size <= Self.largestFile else { throw Failure(EFBIG) }
    if size < node.attributes.size {
      node.bytes?.zero(offset: Int(size), count: Int(node.attributes.size - size))
    }
    node.attributes.size = size
    account(node)
    node.touched(now.realtime)
  }

  private func account(_ node: Node) {
    node.attributes.sectors = (node.attributes.size + 511) / 512
  }
}
