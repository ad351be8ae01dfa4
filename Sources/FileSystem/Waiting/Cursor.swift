import Format

/// How far a long operation has come, so that it goes on from there when it is run again. Only the operation
/// itself writes it.
struct Cursor {
  /// In bytes, or as a hash.
  var progress: UInt64 = 0
  /// Blocks of a map before this one need not be looked at again.
  var searched: UInt64 = 0
  /// The page that had become dirty last when the request first asked for a file's pages to be written.
  var pagesUntil: UInt64?
  /// The walk by which it drops cached pages.
  var cutWalk: UInt64 = 0
  /// fsync and O_SYNC: the change itself has been made.
  var isApplied = false
  /// fsync and O_SYNC: the log write that must be durable before the reply; nil until everything was written.
  var awaitedSequence: UInt64?
  /// syncfs: the number of the commit that has to end before the reply.
  var awaitedCommit: UInt64?
  /// How far up walks of ancestors have come: from a rename's new parent and, where two names are exchanged,
  /// from the old one.
  var ancestry: InlineArray<2, AncestorWalk> = .init(repeating: AncestorWalk())
}

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
