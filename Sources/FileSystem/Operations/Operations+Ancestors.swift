import Format
import Glibc

/// A directory must not become its own descendant.
///
/// The walk from the new parent to the root may be as long as there are directories. It remembers how far it
/// has come, not what it passed. What it passed stays true because one request at a time may walk, and no
/// other directory changes its parent before that has its answer. Directories that were passed are not empty,
/// so none of them is removed.
extension Operations {
  /// Makes sure that the directory `moved` is not `start` or above it.
  /// - Parameter walk: the first or the second of the request's walks.
  func checkNotBelow(_ start: Inode, _ moved: UInt64, walk: Int) throws(Stop) {
    try waiting.beginDirectoryMove()
    if waiting.cursor.ancestry[walk].moved != moved || waiting.cursor.ancestry[walk].start != start.number {
      waiting.cursor.ancestry[walk] = AncestorWalk(moved: moved, start: start.number, next: start.id)
    }
    while !waiting.cursor.ancestry[walk].isDone {
      guard !event.isSpent else { throw .again(.share) }
      try passAncestor(&waiting.cursor.ancestry[walk])
      waiting.releasePins()
    }
  }

  private func passAncestor(_ walk: inout AncestorWalk) throws(Stop) {
    let directory = try nodes.inode(walk.next)
    guard directory.number != walk.moved else { throw .fail(EINVAL) }
    guard directory.number != NodeID.root.number else { return walk.isDone = true }
    // A damaged tree could go round in circles.
    walk.passed += 1
    guard directory.isDirectory, walk.passed <= nodes.inodes.root.limit else { throw .fail(EIO) }
    walk.next = NodeID(raw: directory.parent)
  }
}
