import FileProtocol
import Glibc

// Operations on names.

extension MemoryService {
  typealias RequestPointer = UnsafeMutablePointer<Request>
  typealias ReplyPointer = UnsafeMutablePointer<Reply>

  func lookup(_ request: RequestPointer, _ reply: ReplyPointer) throws(Failure) {
    let parent = try node(request.pointee.node)
    guard let directory = parent.directory else { throw Failure(ENOTDIR) }
    guard let found = directory.find(Name(request.pointee.name)) else {
      reply.pointee.node = 0
      return
    }
    try answer(found, reply)
  }

  func make(_ request: RequestPointer, _ reply: ReplyPointer) throws(Failure) {
    let parent = try node(request.pointee.node)
    let name = Name(request.pointee.name)
    try requireFree(name, in: parent)
    let number = newNumber()
    let inherits = parent.attributes.mode & S_ISGID != 0
    let made = Node(
      number: number, mode: mode(request), uid: request.pointee.uid,
      gid: inherits ? parent.attributes.gid : request.pointee.gid, now: now.realtime)
    switch request.pointee.operation {
    case .mkdir:
      made.directory = Directory(parent: request.pointee.node)
      made.attributes.links = 2
      if inherits { made.attributes.mode |= S_ISGID }
      parent.attributes.links += 1
    case .symlink:
      made.target = Array(request.pointee.otherName)
      made.attributes.size = UInt64(made.target.count)
    default: made.attributes.device = request.pointee.device
    }
    nodes[number] = made
    parent.directory?.add(name, number)
    parent.touched(now.realtime)
    reply.pointee.handle = 0
    reply.pointee.keepCache = true
    try answer(number, reply)
  }

  /// O_TMPFILE.
  func makeUnnamed(_ request: RequestPointer, _ reply: ReplyPointer) throws(Failure) {
    let parent = try node(request.pointee.node)
    guard parent.isDirectory else { throw Failure(ENOTDIR) }
    guard parent.attributes.links > 0 else { throw Failure(ENOENT) }
    let number = newNumber()
    let inherits = parent.attributes.mode & S_ISGID != 0
    let made = Node(
      number: number, mode: mode(request), uid: request.pointee.uid,
      gid: inherits ? parent.attributes.gid : request.pointee.gid, now: now.realtime)
    made.attributes.links = 0
    nodes[number] = made
    reply.pointee.handle = 0
    reply.pointee.keepCache = true
    try answer(number, reply)
  }

  func link(_ request: RequestPointer, _ reply: ReplyPointer) throws(Failure) {
    let parent = try node(request.pointee.node)
    let target = try node(request.pointee.otherNode)
    let name = Name(request.pointee.name)
    try requireFree(name, in: parent)
    target.attributes.links += 1
    target.attributes.changeTime = now.realtime
    parent.directory?.add(name, request.pointee.otherNode)
    parent.touched(now.realtime)
    try answer(request.pointee.otherNode, reply)
  }

  func remove(_ request: RequestPointer) throws(Failure) {
    let parent = try node(request.pointee.node)
    let name = Name(request.pointee.name)
    guard let id = parent.directory?.find(name) else { throw Failure(ENOENT) }
    let victim = try node(id)
    if request.pointee.operation == .rmdir {
      guard let directory = victim.directory else { throw Failure(ENOTDIR) }
      guard directory.isEmpty else { throw Failure(ENOTEMPTY) }
    } else if victim.isDirectory {
      throw Failure(EISDIR)
    }
    parent.directory?.remove(name)
    unlinked(id, victim, from: parent)
  }

  func rename(_ request: RequestPointer) throws(Failure) {
    let source = try node(request.pointee.node)
    let target = try node(request.pointee.otherNode)
    let name = Name(request.pointee.name)
    let newName = Name(request.pointee.otherName)
    guard let id = source.directory?.find(name) else { throw Failure(ENOENT) }
    guard target.isDirectory else { throw Failure(ENOTDIR) }
    let existing = target.directory?.find(newName)
    if request.pointee.flags & Self.exchange != 0 {
      guard let existing else { throw Failure(ENOENT) }
      guard existing != id else { return }
      source.directory?.replace(name, existing)
      target.directory?.replace(newName, id)
      try move(existing, from: target, to: source, request.pointee.node)
    } else {
      if let existing {
        guard request.pointee.flags & Self.noReplace == 0 else { throw Failure(EEXIST) }
        guard existing != id else { return }
        try replace(existing, by: id, newName, in: target)
      }
      source.directory?.remove(name)
      target.directory?.add(newName, id)
    }
    try move(id, from: source, to: target, request.pointee.otherNode)
    source.touched(now.realtime)
    target.touched(now.realtime)
  }

  // renameat2(2)'s flags, whose macros Swift cannot import.
  private static let noReplace: UInt32 = 1
  private static let exchange: UInt32 = 2

  /// Removes what a rename puts another node in place of.
  private func replace(_ id: UInt64, by other: UInt64, _ name: Name, in parent: Node) throws(Failure) {
    let victim = try node(id)
    if let directory = victim.directory {
      guard try node(other).isDirectory else { throw Failure(EISDIR) }
      guard directory.isEmpty else { throw Failure(ENOTEMPTY) }
    } else if try node(other).isDirectory {
      throw Failure(ENOTDIR)
    }
    parent.directory?.remove(name)
    unlinked(id, victim, from: parent)
  }

  private func move(_ id: UInt64, from source: Node, to target: Node, _ parent: UInt64) throws(Failure) {
    let moved = try node(id)
    moved.attributes.changeTime = now.realtime
    guard moved.isDirectory, source !== target else { return }
    moved.directory?.parent = parent
    source.attributes.links -= 1
    target.attributes.links += 1
  }

  private func unlinked(_ id: UInt64, _ victim: Node, from parent: Node) {
    if victim.isDirectory {
      victim.attributes.links = 0
      parent.attributes.links -= 1
    } else {
      victim.attributes.links -= 1
    }
    victim.attributes.changeTime = now.realtime
    parent.touched(now.realtime)
    dropIfUnused(id, victim)
  }

  private func requireFree(_ name: Name, in parent: Node) throws(Failure) {
    guard let directory = parent.directory else { throw Failure(ENOTDIR) }
    guard parent.attributes.links > 0 else { throw Failure(ENOENT) }
    guard name.bytes.count <= 255 else { throw Failure(ENAMETOOLONG) }
    guard directory.find(name) == nil else { throw Failure(EEXIST) }
  }

  private func mode(_ request: RequestPointer) -> UInt32 {
    switch request.pointee.operation {
    case .mkdir: S_IFDIR | request.pointee.mode & 0o7777
    case .symlink: S_IFLNK | 0o777
    case .create, .createUnnamed: S_IFREG | request.pointee.mode & 0o7777
    default: request.pointee.mode
    }
  }

  /// Answers with a node and counts a lookup.
  private func answer(_ id: UInt64, _ reply: ReplyPointer) throws(Failure) {
    let found = try node(id)
    found.lookups += 1
    reply.pointee.node = id
    reply.pointee.attributes = found.attributes
  }
}
