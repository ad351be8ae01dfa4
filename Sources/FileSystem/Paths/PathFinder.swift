import Format
import Glibc

/// The background job that finds the path of the file that a message is about.
///
/// The kernel looks up every name on the path to a file. The state of an inode that the kernel has looked up
/// keeps the directory and the hash of the name by which it was found last (`KernelView`); so the path is
/// found again from the file up, a directory at a time. Blocks that are not in memory are read. A message
/// whose file has no path any more, or whose directories cannot be read, is reported with the inode's number
/// alone.
///
/// Owns the search for the path of the first message that waits for one (`Errors.withoutPath`).
final class PathFinder {
  private let waiting: Waiting
  private let errors: Errors
  private let nodes: NodeStore
  private let states: InodeStates
  private let directories: Directories
  /// The inode whose name is looked for next on the way up; 0 before the search has begun.
  private var next: UInt64 = 0
  /// The names found so far, from the file up.
  private var names: [[UInt8]] = []

  init(directories: Directories, states: InodeStates) {
    self.directories = directories
    self.states = states
    nodes = directories.nodes
    waiting = nodes.waiting
    errors = nodes.errors
  }

  /// Names in a printed path, at most.
  private static let namesLimit = 64

  /// The path as far as it was found, printable.
  private var path: String {
    let isWhole = names.count < Self.namesLimit
    return (isWhole ? "/" : "…/") + names.reversed().map(\.printable).joined(separator: "/")
  }

  /// Does a step on the way up to the root, for the first message.
  func step() -> Bool {
    guard let message = errors.withoutPath.first else { return false }
    if next == 0 { next = message.inode }
    let attempt = waiting.attempt(.paths) { () throws(Stop) in
      if try findNameAbove() { end(isKnown: true) }
    }
    if case .failed = attempt { end(isKnown: false) }
    return attempt == .done
  }

  /// - Returns: whether the path is complete.
  private func findNameAbove() throws(Stop) -> Bool {
    guard next != NodeID.root.number, names.count < Self.namesLimit else { return true }
    guard let state = states.find(next), states[state].kernel.parent != 0 else {
      throw .fail(ENOENT)
    }
    let directory = try nodes.inode(states[state].kernel.parent)
    guard directory.isDirectory,
      let name = try directories.findName(directory, hash: states[state].kernel.nameHash, of: next)
    else { throw .fail(ENOENT) }
    names.append(name)
    next = directory.number
    return false
  }

  /// Reports the first message, and ends its search.
  private func end(isKnown: Bool) {
    errors.tellFirst(path: isKnown ? path : nil)
    next = 0
    names = []
  }

  /// Reports all waiting messages without a path.
  func endAll() {
    while !errors.withoutPath.isEmpty { end(isKnown: false) }
  }
}
