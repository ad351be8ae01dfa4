import FileProtocol
import Glibc

// Directory listings and extended attributes.

extension MemoryService {
  func list(_ request: RequestPointer, _ reply: ReplyPointer) throws(Failure) {
    let found = try node(request.pointee.node)
    guard let directory = found.directory else { throw Failure(ENOTDIR) }
    let plus = request.pointee.operation == .readdirplus
    var room = Int(clamping: request.pointee.length)
    reply.pointee.entries.removeAll(keepingCapacity: true)
    // Places 0 and 1 are "." and ".."; a cookie names the place after its entry.
    var place = Int(clamping: request.pointee.offset)
    while place < directory.end + 2 {
      defer { place += 1 }
      guard let (name, id) = entry(at: place, request.pointee.node, directory) else { continue }
      let size = ((plus ? 152 : 24) + name.count + 7) & ~7
      guard size <= room else { return }
      room -= size
      let listed = try node(id)
      if plus && place >= 2 { listed.lookups += 1 }
      reply.pointee.entries.append(
        DirectoryEntry(name: name, cookie: UInt64(place + 1), node: id, attributes: listed.attributes))
    }
  }

  private func entry(at place: Int, _ id: UInt64, _ directory: Directory) -> ([UInt8], UInt64)? {
    let dot = UInt8(ascii: ".")
    switch place {
    case 0: return ([dot], id)
    case 1: return ([dot, dot], directory.parent)
    default: return directory.entry(at: place - 2).map { ($0.name.bytes, $0.node) }
    }
  }

  func extended(_ request: RequestPointer, _ reply: ReplyPointer) throws(Failure) {
    let found = try node(request.pointee.node)
    let name = Name(request.pointee.name)
    switch request.pointee.operation {
    case .setxattr:
      let exists = found.extended[name] != nil
      if request.pointee.flags & UInt32(Self.create) != 0, exists { throw Failure(EEXIST) }
      if request.pointee.flags & UInt32(Self.replace) != 0, !exists { throw Failure(ENODATA) }
      found.extended[name] = Array(request.pointee.otherName)
      found.attributes.changeTime = now.realtime
    case .removexattr:
      guard found.extended.removeValue(forKey: name) != nil else { throw Failure(ENODATA) }
      found.attributes.changeTime = now.realtime
    case .getxattr:
      guard let value = found.extended[name] else { throw Failure(ENODATA) }
      try answer(value, request, reply)
    default:
      var all: [UInt8] = []
      for name in found.extended.keys { all += name.bytes + [0] }
      try answer(all, request, reply)
    }
  }

  // XATTR_CREATE and XATTR_REPLACE.
  private static let create = 1
  private static let replace = 2

  private func answer(_ bytes: [UInt8], _ request: RequestPointer, _ reply: ReplyPointer) throws(Failure) {
    reply.pointee.count = UInt64(bytes.count)
    guard request.pointee.length > 0 else { return }
    guard UInt64(bytes.count) <= request.pointee.length else { throw Failure(ERANGE) }
    reply.pointee.bytes = bytes
  }
}
