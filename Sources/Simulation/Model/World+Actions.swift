import FileProtocol
import Glibc

/// Actions as changes of the model. They are made when an action begins, since a crash may already find them,
/// and undone when it fails.
extension World {
  /// Begins an action.
  /// - Parameter now: the time, ns since 1970.
  public func begin(_ action: Action, client: Int, now: Int64) -> Pending {
    let position = logs[client].operations.count + (action.isOrdered ? 1 : 0)
    let pending = Pending(
      action, client: client, begun: nextTick(), moment: Moment(from: now), position: position)
    apply(action, pending)
    if action.isOrdered, pending.expected.isEmpty {
      logs[client].operations.append((pending.begun, nil))
      pending.undo.append { [self] in logs[client].operations.removeLast() }
    }
    return pending
  }

  private func apply(_ action: Action, _ pending: Pending) {
    switch action {
    case .create(let parent, let name, let mode, let id):
      make(id, parent: parent, name: name, mode: FileType.regular | mode, pending)
    case .createUnnamed(let parent, let mode, let id): makeUnnamed(id, parent: parent, mode: mode, pending)
    case .makeNode(let parent, let name, let mode, let device, let id):
      make(id, parent: parent, name: name, mode: mode, device: device, pending)
    case .makeDirectory(let parent, let name, let mode, let id):
      make(id, parent: parent, name: name, mode: FileType.directory | mode, pending)
    case .makeSymlink(let parent, let name, let target, let id):
      make(id, parent: parent, name: name, mode: FileType.symlink | 0o777, target: target, pending)
    case .link(let node, let parent, let name): link(node, parent: parent, name: name, pending)
    case .unlink(let parent, let name): unlink(parent, name, pending)
    case .removeDirectory(let parent, let name): removeDirectory(parent, name, pending)
    case .rename(let parent, let name, let newParent, let newName, let flags):
      rename(
        Edge(parent: parent, name: name), Edge(parent: newParent, name: newName), flags: flags, pending)
    case .change(let node, let change): self.change(node, change, pending)
    case .setAttribute(let node, let name, let value, let flags):
      setAttribute(node, name, value, flags: flags, pending)
    case .removeAttribute(let node, let name): removeAttribute(node, name, pending)
    case .write(let node, let offset, let length, _): write(node, offset, length: length, pending)
    case .allocate(let node, let mode, let offset, let length):
      allocate(node, mode: mode, offset, length: length, pending)
    case .lookup(let parent, let name): if child(parent, name) == nil { pending.fails(ENOENT) }
    case .sync(let node, _): pending.syncs = nodes[node].writtenThrough(pending.begun)
    case .read(let node, _, _): nodes[node].readings.append(pending.moment)
    case .syncAll: pending.syncsAll = nodes.map { $0.writtenThrough(pending.begun) }
    case .close, .list, .inspect, .space, .forget, .idle: break
    }
  }

  /// Ends an action that succeeded.
  /// - Parameters:
  ///   - now: the time, ns since 1970.
  ///   - isDurable: whether a synchronous one is known to be durable.
  public func succeed(_ pending: Pending, now: Int64, isDurable: Bool = true) {
    let answered = nextTick()
    if !pending.moment.isExact { pending.moment.latest = now }
    if pending.action.isOrdered, pending.expected.isEmpty {
      logs[pending.client].operations[pending.position - 1].answered = answered
    }
    switch pending.action {
    case .sync(let node, _):
      settle(before: pending.begun)
      sync(node, through: pending.syncs)
    case .syncAll:
      settle(before: pending.begun)
      for (node, tick) in pending.syncsAll.enumerated() { sync(node, through: tick) }
    case .write(let node, _, _, let isSync):
      nodes[node].openWrites.remove(pending.begun)
      if isSync, isDurable {
        settle(before: pending.begun)
        sync(node, through: pending.syncs)
      }
    default: break
    }
  }

  private func sync(_ node: Int, through tick: UInt64) {
    guard let history = nodes[node].history else { return }
    history.syncedTick = max(history.syncedTick, tick)
  }

  /// Ends an action that failed and changed nothing.
  public func fail(_ pending: Pending) {
    for undo in pending.undo.reversed() { undo() }
    pending.undo = []
    if case .write(let node, _, _, _) = pending.action { nodes[node].openWrites.remove(pending.begun) }
  }

  /// Ends a write of which only the first `count` bytes were written.
  public func shorten(_ pending: Pending, to count: Int, now: Int64) {
    guard case .write(let node, let offset, _, _) = pending.action else { return }
    fail(pending)
    if count > 0 { write(node, offset, length: count, pending) }
    succeed(pending, now: now)
  }

  // MARK: Attributes

  private func change(_ id: Int, _ change: AttributeChange, _ pending: Pending) {
    let node = nodes[id]
    if change.size != nil, !node.isFile { return pending.fails(node.isDirectory ? EISDIR : EINVAL, EINVAL) }
    let modified = change.modificationTime.map { Moment(exactly: $0) }
    update(id, pending) { state in
      if let mode = change.mode { state.mode = state.mode & FileType.mask | mode & 0o7777 }
      if let uid = change.uid { state.uid = uid }
      if let gid = change.gid { state.gid = gid }
      if let modified { state.modified = modified }
      if let accessed = change.accessTime { state.accessed = Moment(exactly: accessed) }
    }
    guard let history = node.history else { return }
    let memento = history.memento
    pending.undo.append { history.restore(memento) }
    if let size = change.size {
      history.cut(to: size, tick: pending.begun, position: pending.position, moment: pending.moment)
    }
    if let modified { history.touch(modified, tick: pending.begun, position: pending.position) }
  }

  private func setAttribute(_ id: Int, _ name: String, _ value: [UInt8], flags: UInt32, _ pending: Pending) {
    let exists = nodes[id].state?.attributes[name] != nil
    if exists, flags & LinuxFlag.attributeCreate != 0 { return pending.fails(EEXIST) }
    if !exists, flags & LinuxFlag.attributeReplace != 0 { return pending.fails(ENODATA) }
    update(id, pending) { $0.attributes[name] = value }
  }

  private func removeAttribute(_ id: Int, _ name: String, _ pending: Pending) {
    guard nodes[id].state?.attributes[name] != nil else { return pending.fails(ENODATA) }
    update(id, pending) { $0.attributes[name] = nil }
  }

  // MARK: Contents

  private func write(_ id: Int, _ offset: UInt64, length: Int, _ pending: Pending) {
    guard let history = nodes[id].history else { return pending.fails(EBADF) }
    let memento = history.memento
    pending.undo.append { history.restore(memento) }
    let bytes = Stamp.bytes(file: id, write: pending.begun, offset: offset, count: length)
    pending.payload = bytes
    // What a synchronous write makes durable includes itself, at this very tick.
    pending.syncs = nodes[id].writtenThrough(pending.begun)
    nodes[id].writeCount += 1
    nodes[id].openWrites.insert(pending.begun)
    history.write(bytes, at: offset, tick: pending.begun, moment: pending.moment)
  }

  private func allocate(
    _ id: Int, mode: UInt32, _ offset: UInt64, length: UInt64, _ pending: Pending
  ) {
    guard let history = nodes[id].history else { return pending.fails(EBADF, ENODEV) }
    let memento = history.memento
    pending.undo.append { history.restore(memento) }
    nodes[id].writeCount += 1
    let end = offset + length
    let keepsSize = mode & LinuxFlag.keepSize != 0
    if mode & (LinuxFlag.punchHole | LinuxFlag.zeroRange) != 0 {
      // Punching a hole changes nothing, not even the times; written zeros look like a hole here.
      let inFile = offset < history.size ? min(length, history.size - offset) : 0
      let isHole = history.read(offset, count: inFile).allSatisfy { $0 == 0 }
      // The time may have been set to one in the future.
      let before = min(history.modified?.earliest ?? 0, pending.moment.earliest)
      history.clear(
        offset, count: length, tick: pending.begun,
        moment: isHole && mode & LinuxFlag.punchHole != 0 ? Moment(from: before) : pending.moment)
    }
    // Recovery may redo it on a file whose longer size, or whose data, was not committed.
    if !keepsSize { history.mayResize(end, tick: pending.begun, moment: pending.moment) }
    // Mode 0 within the size changes only the times.
    if mode & (LinuxFlag.punchHole | LinuxFlag.zeroRange) == 0 {
      history.resize(history.size, tick: pending.begun, moment: pending.moment)
    }
  }
}

extension Action {
  /// Whether it is ordered: a crash undoes it only together with everything after it. Making a file without a
  /// name is too, but nothing of it can be seen after a crash.
  var isOrdered: Bool {
    switch self {
    case .create, .makeNode, .makeDirectory, .makeSymlink, .link, .unlink, .removeDirectory, .rename, .change,
      .setAttribute, .removeAttribute:
      true
    default: false
    }
  }
}
