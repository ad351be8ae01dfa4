import CFuse3
import FileProtocol
import Glibc

extension MountSession {
  /// Packs the entries of a readdir into the slot's memory and sends them.
  func answerDirectory(
    _ request: OpaquePointer, _ asked: UnsafeMutablePointer<Request>, _ reply: UnsafeMutablePointer<Reply>,
    _ slot: Int
  ) {
    let plus = asked.pointee.operation == .readdirplus
    let start = data(of: slot).assumingMemoryBound(to: CChar.self)
    let room = min(Int(clamping: asked.pointee.length), slots.maximumTransfer)
    var used = 0
    var packed = 0
    for item in reply.pointee.entries {
      let size = add(item, request, start + used, room - used, plus: plus)
      guard size > 0, size <= room - used else { break }
      used += size
      packed += 1
    }
    let taken = fuse_reply_buf(request, start, used) == 0
    if plus { takeBackLookups(reply.pointee.entries, from: taken ? packed : 0) }
  }

  /// Packs one entry.
  /// - Returns: the bytes it needs, which may be more than `room`; then nothing was packed.
  private func add(
    _ item: DirectoryEntry, _ request: OpaquePointer, _ place: UnsafeMutablePointer<CChar>, _ room: Int,
    plus: Bool
  ) -> Int {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: item.name.count + 1) { name in
      guard let text = name.baseAddress else { return 0 }
      item.name.withUnsafeBytes { bytes in
        if let base = bytes.baseAddress { memcpy(text, base, bytes.count) }
      }
      text[item.name.count] = 0
      let cookie = off_t(bitPattern: UInt(item.cookie))
      if plus {
        var entry = entry(item.lookupNode, item.attributes)
        return fuse_add_direntry_plus(request, place, room, text, &entry, cookie)
      }
      var attributes = stat()
      attributes.st_ino = ino_t(item.attributes.number)
      attributes.st_mode = item.attributes.mode
      return fuse_add_direntry(request, place, room, text, &attributes, cookie)
    }
  }

  /// Undoes the lookups of entries that the kernel did not receive.
  private func takeBackLookups(_ entries: [DirectoryEntry], from first: Int) {
    for item in entries[first...] where item.lookupNode != 0 {
      service.forget(node: item.lookupNode, count: 1)
    }
  }
}

extension DirectoryEntry {
  /// The node that readdirplus counts a lookup for: none for "." and "..".
  fileprivate var lookupNode: UInt64 {
    let dot = UInt8(ascii: ".")
    return name == [dot] || name == [dot, dot] ? 0 : node
  }
}
