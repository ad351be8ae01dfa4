import Format

/// How far up from a directory's new parent a rename has looked for the directory itself.
struct AncestorWalk {
  /// The directory that is to move, and that from which the walk began; 0 before it began.
  var moved: UInt64 = 0
  var start: UInt64 = 0
  /// The ancestor that comes next, and how many were passed.
  var next = NodeID(raw: 0)
  var passed: UInt64 = 0
  /// The walk came to the root.
  var isDone = false
}

/// A directory must not become its own descendant.
///
/// The walk from the new parent to the root may be as long as there are directories. It remembers how far it has come, not what it
/// passed. What it passed stays true because one request at a time may walk, and no other directory changes its parent before that
/// has its answer. Directories that were passed are not empty, so none of them is removed.
extension FileSystem {
  /// Makes sure that the directory `moved` is not `start` or above it.
  /// - Parameter walk: the first or the second of the request's walks.
  func checkNotBelow(_ start: Inode, _ moved: UInt64, walk: Int) throws(Stop) {
    let slot = currentWaiter
    guard directoryMover == nil || directoryMover == slot else { throw .again }
    directoryMover = slot
    if slots[slot].ancestry[walk].moved != moved || slots[slot].ancestry[walk].start != start.number {
      slots[slot].ancestry[walk] = AncestorWalk(moved: moved, start: start.number, next: start.id)
    }
    while !slots[slot].ancestry[walk].isDone {
      guard !isSpent else { throw goOn() }
      try passAncestor(&slots[slot].ancestry[walk])
      releasePins()
    }
  }

  private func passAncestor(_ walk: inout AncestorWalk) throws(Stop) {
    let directory = try inode(walk.next)
    guard directory.number != walk.moved else { throw .fail(Code.invalid) }
    guard directory.number != NodeID.root.number else { return walk.isDone = true }
    // A damaged tree could go round in circles.
    walk.passed += 1
    guard directory.isDirectory, walk.passed <= inodeTable.root.limit else { throw .fail(Code.io) }
    walk.next = NodeID(raw: directory.parent)
  }

  /// The request that moved a directory has its answer: another may.
  func endDirectoryMove() {
    directoryMover = nil
    if !stalled.isEmpty { needsWake = true }
  }
}
