import Format

/// A frame of the arena, by its number: the filesystem's own, or one that a request's slot lends.
typealias FrameIndex = UInt32

extension FrameIndex {
  static let none = UInt32.max
}

/// The kind of node that an internal node was checked to be. The check is made once, when the block is first
/// used after it was read.
enum NodeRole: UInt8 {
  case unchecked, map, directoryLeaf, directoryIndex, attributes, attributeValue, symlink
}

/// What a frame is used for.
///
///     free ──insert──▶ loading ──endLoading──▶ node(clean), page(clean) or failed
///      │                  └──detach──▶ buffer                the block being read is no longer wanted
///      ├───insert──▶ node(clean) or page(clean)               a new block
///      ├───borrow──▶ page(clean)                              a frame that a slot lends
///      ├───takeBuffer──▶ buffer
///      └◀──drop, giveUp, giveBack──  from any state, when nothing needs the contents any more
enum FrameState: Equatable {
  case free
  /// Used by a device command or a job; not in the index.
  case buffer
  /// Being read from the device; the block must have this checksum.
  case loading(checksum: UInt32)
  /// Could not be read: the requests that waited for it get the error.
  case failed
  /// Holds a node or a block of a node table.
  case node(NodeState)
  /// Holds a block of a file.
  case page(PageState)
}

/// How far the changes of a node have come on their way to the device.
///
///     clean ──modify──▶ loose ──holdTables──▶ held ──cut──▶ frozen ──writeFrozen──▶ clean
///
/// A table block is never frozen: it goes from held to clean when it is written (`writeTables`). The
/// functions are `NodeStore`'s.
enum NodeState: UInt8 {
  /// As it is on the device, or in a log write on its way there.
  case clean
  /// Changed; the table block above it may be clean or not in memory.
  case loose
  /// Changed, and the table block above it is changed too.
  case held
  /// Part of the checkpoint under way, which has not written it yet.
  case frozen
}

/// How far the changes of a page have come on their way to the log.
///
///     clean ──makeDataPage──▶ dirty ──place, over a hole──▶ charged ──reserve──▶ dirty
///     dirty, charged ──beginWriting──▶ writing ──endWriting──▶ clean, or dirty again when the write failed
///
/// The functions are those of `Pages`.
enum PageState: UInt8 {
  /// Equal to the block on the device that the map names.
  case clean
  /// Changed, over a block that the file already has.
  case dirty
  /// Changed, over a hole: it is charged a block of space that the map does not hold yet.
  case charged
  /// A device command is writing this frame.
  case writing
}

/// What the cache knows of one frame.
struct FrameInfo {
  var state = FrameState.free
  var key = NodeKey(raw: 0)
  /// Of a page: the block's index in the file.
  var index: UInt64 = 0
  /// Of a dirty page: its place in the order in which pages became dirty.
  var dirtied: UInt64 = 0
  /// Of a page that is dirty or being written: the block that holds its map entry, the lowest map node or the
  /// inode.
  var leaf = NodeKey(raw: 0)
  /// Of a node: what its block was found to be.
  var role = NodeRole.unchecked
  /// Used since the clock's hand last passed.
  var isReferenced = false
  /// The slot that lends the frame; -1 for the filesystem's own frames.
  var lender: Int16 = -1
  /// How many requests and jobs keep the frame in memory.
  var pins: UInt16 = 0
  /// Of a leaf of a node table: numbers in it that are marked as allocated, for which it has to stay too.
  var marks: UInt16 = 0
  /// Links: the free list, a node's list, a page's list in its file; and the index.
  var next = FrameIndex.none
  var previous = FrameIndex.none
  var chain = FrameIndex.none

  /// Whether it holds the block that its key names.
  @inline(__always)
  var isReady: Bool {
    switch state {
    case .node, .page: true
    default: false
    }
  }

  @inline(__always)
  var isLoading: Bool {
    if case .loading = state { true } else { false }
  }

  /// Whether it holds changes that are not on their way to the device.
  @inline(__always)
  var isDirty: Bool {
    switch state {
    case .page(.dirty), .page(.charged), .node(.loose), .node(.held): true
    default: false
    }
  }

  /// Whether nothing needs what it holds to stay in memory.
  @inline(__always)
  var canBeGivenUp: Bool {
    guard pins == 0, marks == 0 else { return false }
    switch state {
    case .failed, .node(.clean), .page(.clean): return true
    default: return false
    }
  }
}

/// A doubly linked list of frames through their `next` and `previous`.
struct FrameList {
  fileprivate(set) var first = FrameIndex.none
  fileprivate(set) var last = FrameIndex.none
  fileprivate(set) var count = 0
}

extension UnsafeMutablePointer<FrameInfo> {
  @inline(__always)
  subscript(frame: FrameIndex) -> FrameInfo {
    unsafeAddress { UnsafePointer(self + Int(frame)) }
    nonmutating unsafeMutableAddress { self + Int(frame) }
  }

  func append(_ frame: FrameIndex, to list: inout FrameList) {
    self[frame].next = .none
    self[frame].previous = list.last
    if list.last != .none { self[list.last].next = frame } else { list.first = frame }
    list.last = frame
    list.count += 1
  }

  func remove(_ frame: FrameIndex, from list: inout FrameList) {
    let next = self[frame].next
    let previous = self[frame].previous
    if previous == .none { list.first = next } else { self[previous].next = next }
    if next == .none { list.last = previous } else { self[next].previous = previous }
    self[frame].next = .none
    self[frame].previous = .none
    list.count -= 1
  }
}
