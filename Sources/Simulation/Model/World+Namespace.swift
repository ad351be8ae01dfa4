import FileProtocol
import Glibc

/// Operations on names.
extension World {
  /// Records a new value of a name.
  private func set(_ edge: Edge, _ child: Int?, _ pending: Pending) {
    names[edge, default: Name(client: pending.client)].timeline.append(child, at: pending.position)
    let old = nodes[edge.parent].entries[edge.name]
    nodes[edge.parent].entries[edge.name] = child
    if let old {
      nodes[old].names.removeAll { $0 == edge }
      pending.orphans.append(old)
    }
    if let child { nodes[child].names.append(edge) }
    pending.undo.append { [self] in
      names[edge]?.timeline.removeLast()
      nodes[edge.parent].entries[edge.name] = old
      if let child { nodes[child].names.removeAll { $0 == edge } }
      if let old { nodes[old].names.append(edge) }
    }
  }

  /// Changes a node's state.
  func update(_ id: Int, _ pending: Pending, _ edit: (inout ModelNode.State) -> Void) {
    let node = nodes[id]
    guard var state = node.state else { return }
    state.changed = pending.moment
    edit(&state)
    node.timeline.append(state, at: pending.position)
    pending.undo.append { node.timeline.removeLast() }
  }

  /// A directory's link count after its subdirectories changed by so many, as on ext4: beyond 65,000 it stays
  /// 1.
  private static func directoryLinks(_ links: UInt32, changedBy change: Int) -> UInt32 {
    let changed = Int(links) + change
    return links == 1 || changed > 65_000 ? 1 : UInt32(clamping: changed)
  }

  private func touch(_ directory: Int, _ pending: Pending, links: Int = 0) {
    update(directory, pending) { state in
      state.modified = pending.moment
      state.links = Self.directoryLinks(state.links, changedBy: links)
    }
  }

  /// Whether something can be made in a directory; sets the error it must fail with.
  private func isUsable(_ parent: Int, _ pending: Pending) -> Bool {
    if !nodes[parent].isDirectory {
      pending.fails(ENOTDIR)
    } else if nodes[parent].names.isEmpty && parent != 0 {
      pending.fails(ENOENT)
    } else {
      return true
    }
    return false
  }

  /// Whether a name can be made in a directory; sets the error it must fail with.
  private func isFree(_ parent: Int, _ name: String, _ pending: Pending) -> Bool {
    if name.utf8.count > 255 {
      pending.fails(ENAMETOOLONG)
    } else if !isUsable(parent, pending) {
      return false
    } else if nodes[parent].entries[name] != nil {
      pending.fails(EEXIST)
    } else {
      return true
    }
    return false
  }

  func make(
    _ id: Int, parent: Int, name: String, mode: UInt32, device: UInt32 = 0, target: String = "",
    _ pending: Pending
  ) {
    guard isFree(parent, name, pending), let above = nodes[parent].state else { return }
    let node = nodes[id]
    var state = ModelNode.State(
      mode: mode, device: device, target: Array(target.utf8), modified: pending.moment,
      changed: pending.moment, accessed: pending.moment)
    let isDirectory = mode & FileType.mask == FileType.directory
    if above.mode & 0o2000 != 0 {
      state.gid = above.gid
      if isDirectory { state.mode |= 0o2000 }
    }
    if isDirectory { state.links = 2 }
    node.timeline.append(state, at: pending.position)
    pending.undo.append { node.timeline.removeLast() }
    if mode & FileType.mask == FileType.regular {
      node.history = FileHistory(tick: pending.begun, position: pending.position, moment: pending.moment)
    }
    set(Edge(parent: parent, name: name), id, pending)
    touch(parent, pending, links: isDirectory ? 1 : 0)
  }

  func makeUnnamed(_ id: Int, parent: Int, mode: UInt32, _ pending: Pending) {
    guard isUsable(parent, pending), let above = nodes[parent].state else { return }
    let node = nodes[id]
    var state = ModelNode.State(
      mode: FileType.regular | mode, links: 0, modified: pending.moment, changed: pending.moment,
      accessed: pending.moment)
    if above.mode & 0o2000 != 0 { state.gid = above.gid }
    node.mayBeNamed = true
    node.timeline.append(state, at: pending.position)
    pending.undo.append { node.timeline.removeLast() }
    node.history = FileHistory(tick: pending.begun, position: pending.position, moment: pending.moment)
  }

  func link(_ id: Int, parent: Int, name: String, _ pending: Pending) {
    guard isFree(parent, name, pending) else { return }
    guard !nodes[id].isDirectory else { return pending.fails(EPERM) }
    guard !nodes[id].names.isEmpty || nodes[id].mayBeNamed else { return pending.fails(ENOENT) }
    let mayBeNamed = nodes[id].mayBeNamed
    nodes[id].mayBeNamed = false
    pending.undo.append { [self] in nodes[id].mayBeNamed = mayBeNamed }
    set(Edge(parent: parent, name: name), id, pending)
    update(id, pending) { $0.links += 1 }
    touch(parent, pending)
  }

  func unlink(_ parent: Int, _ name: String, _ pending: Pending) {
    guard let id = child(parent, name) else { return pending.fails(ENOENT) }
    guard !nodes[id].isDirectory else { return pending.fails(EISDIR, EPERM) }
    set(Edge(parent: parent, name: name), nil, pending)
    update(id, pending) { $0.links -= 1 }
    touch(parent, pending)
  }

  func removeDirectory(_ parent: Int, _ name: String, _ pending: Pending) {
    guard let id = child(parent, name) else { return pending.fails(ENOENT) }
    guard nodes[id].isDirectory else { return pending.fails(ENOTDIR) }
    guard nodes[id].entries.isEmpty else { return pending.fails(ENOTEMPTY, EEXIST) }
    set(Edge(parent: parent, name: name), nil, pending)
    update(id, pending) { $0.links = 0 }
    touch(parent, pending, links: -1)
  }

  func rename(_ from: Edge, _ to: Edge, flags: UInt32, _ pending: Pending) {
    guard let id = child(from.parent, from.name) else { return pending.fails(ENOENT) }
    let target = child(to.parent, to.name)
    guard to.name.utf8.count <= 255 else { return pending.fails(ENAMETOOLONG) }
    if flags & LinuxFlag.renameNoReplace != 0, target != nil { return pending.fails(EEXIST) }
    if flags & LinuxFlag.renameExchange != 0, target == nil { return pending.fails(ENOENT) }
    if nodes[id].isDirectory, isInside(to.parent, id) { return pending.fails(EINVAL) }
    if id == target { return }
    if flags & LinuxFlag.renameExchange != 0, let target {
      if nodes[target].isDirectory, isInside(from.parent, target) { return pending.fails(EINVAL) }
      return exchange(from, id, to, target, pending)
    }
    if let target {
      if nodes[id].isDirectory, !nodes[target].isDirectory { return pending.fails(ENOTDIR) }
      if !nodes[id].isDirectory, nodes[target].isDirectory { return pending.fails(EISDIR) }
      if !nodes[target].entries.isEmpty { return pending.fails(ENOTEMPTY, EEXIST) }
    }
    move(id, from, to, replacing: target, pending)
  }

  private func move(_ id: Int, _ from: Edge, _ to: Edge, replacing target: Int?, _ pending: Pending) {
    let isDirectory = nodes[id].isDirectory
    set(from, nil, pending)
    set(to, id, pending)
    update(id, pending) { _ in }
    if let target {
      update(target, pending) { $0.links = isDirectory ? 0 : $0.links - 1 }
      promiseContents(of: id, pending)
    }
    // A replaced directory's ".." no longer counts, nor does that of one that moves away.
    let replaced = target != nil && isDirectory ? 1 : 0
    if from.parent == to.parent {
      touch(from.parent, pending, links: -replaced)
    } else {
      touch(from.parent, pending, links: isDirectory ? -1 : 0)
      touch(to.parent, pending, links: (isDirectory ? 1 : 0) - replaced)
    }
  }

  /// Replacing a file commits the new one's contents with the name.
  private func promiseContents(of id: Int, _ pending: Pending) {
    guard let history = nodes[id].history else { return }
    let memento = history.memento
    pending.undo.append { history.restore(memento) }
    history.promise(position: pending.position, tick: nodes[id].writtenThrough(pending.begun))
  }

  private func exchange(_ from: Edge, _ id: Int, _ to: Edge, _ target: Int, _ pending: Pending) {
    set(from, nil, pending)
    set(to, id, pending)
    set(from, target, pending)
    for moved in [id, target] { update(moved, pending) { _ in } }
    let shift = (nodes[id].isDirectory ? 1 : 0) - (nodes[target].isDirectory ? 1 : 0)
    touch(from.parent, pending, links: from.parent == to.parent ? 0 : -shift)
    if from.parent != to.parent { touch(to.parent, pending, links: shift) }
  }
}
