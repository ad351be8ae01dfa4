import Format

/// How far a long operation has come, so that a rerun of it goes on from there. Only the operation itself,
/// and the functions that it calls, write it.
struct Cursor {
  /// The position of the operation's own walk: in bytes, or as a hash.
  var progress: UInt64 = 0
  /// Blocks of a map before this one need not be searched again.
  var searched: UInt64 = 0
  /// `Pages.lastDirtied` when the request first called `Log.commitPages`.
  var pagesUntil: UInt64?
  /// The number of the truncation that drops clean pages in steps; 0 before it has begun.
  var cutWalk: UInt64 = 0
  /// fsync and O_SYNC: the change itself has been made.
  var isApplied = false
  /// fsync and O_SYNC: the log write that must be durable before the reply; nil until everything is in log
  /// writes.
  var awaitedSequence: UInt64?
  /// syncfs: the number of the commit that has to end before the reply.
  var awaitedCommit: UInt64?
  /// The walks up from a rename's new parent and, where two names are exchanged, from the old parent.
  var ancestry: InlineArray<2, AncestorWalk> = .init(repeating: AncestorWalk())
}

/// A rename's walk up from a directory's new parent, in search of the directory itself.
struct AncestorWalk {
  /// The directory that is to move, and the directory from which the walk began; 0 before it has begun.
  var moved: UInt64 = 0
  var start: UInt64 = 0
  /// The next ancestor, and how many were passed.
  var next = NodeID(raw: 0)
  var passed: UInt64 = 0
  /// The walk has reached the root.
  var isDone = false
}
