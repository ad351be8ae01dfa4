import Format
import Glibc

/// The check that a rename does not make a directory its own descendant.
///
/// The walk from the new parent up to the root may be as long as there are directories. It remembers its
/// position, not the path. The path stays valid because only one request at a time may walk, and no other
/// directory changes its parent before that request is finished. Directories already passed are not empty, so
/// none of them can be removed.
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
    // The parents of damaged directories may form a cycle.
    walk.passed += 1
    guard directory.isDirectory, walk.passed <= nodes.inodes.root.limit else { throw .fail(EIO) }
    walk.next = NodeID(raw: directory.parent)
  }
}
