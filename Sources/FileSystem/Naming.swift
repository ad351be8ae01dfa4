import Format

/// Messages about a file begin with its path.
///
/// The kernel looks every name up on its way to a file. The state of an inode that the kernel knows keeps the directory and the hash of
/// the name by which it was found last; so a path is found again from the file up, a directory at a time. What is not in memory is read.
/// A message whose file has no path any more, or whose directories cannot be read, is told with the inode's number alone.
struct Naming {
  struct Message {
    let text: String
    let inode: UInt64
  }

  /// Messages that wait for their path, oldest first. Few are told in a minute; see `ErrorAccount`.
  var waiting: [Message] = []
  /// The inode whose name is looked for next on the way up for the first of them; 0 before it began.
  var next: UInt64 = 0
  /// The names found so far, from the file up.
  var names: [[UInt8]] = []

  /// Names of a path at most: more are not printed.
  static let namesLimit = 64

  /// What was found, for people.
  var path: String {
    let isWhole = names.count < Self.namesLimit
    return (isWhole ? "/" : "…/") + names.reversed().map(\.printable).joined(separator: "/")
  }
}

extension FileSystem {
  /// Has a message about an inode told: with its path as soon as that is known.
  func tell(_ text: String, inode: UInt64) {
    guard inode != 0, isReady, !isStopping else { return notices.append(text) }
    naming.waiting.append(Naming.Message(text: text, inode: inode))
  }

  /// Does a step on the way up to the root, for the first message.
  func namingStep() -> Bool {
    guard let message = naming.waiting.first else { return false }
    if naming.next == 0 { naming.next = message.inode }
    return attempt(.naming) { () throws(Stop) in
      if try findNameAbove() { endNaming(isKnown: true) }
    }
  }

  /// - Returns: whether the path is complete.
  private func findNameAbove() throws(Stop) -> Bool {
    guard naming.next != NodeID.root.number, naming.names.count < Naming.namesLimit else { return true }
    guard let state = states.find(naming.next), states.slots[state].parent != 0 else {
      throw .fail(Code.noEntry)
    }
    let directory = try inode(states.slots[state].parent)
    guard directory.isDirectory,
      let name = try findName(directory, hash: states.slots[state].nameHash, of: naming.next)
    else { throw .fail(Code.noEntry) }
    naming.names.append(name)
    naming.next = directory.number
    return false
  }

  /// The first message is told.
  func endNaming(isKnown: Bool) {
    guard !naming.waiting.isEmpty else { return }
    let message = naming.waiting.removeFirst()
    notices.append(isKnown ? "\(naming.path): \(message.text)" : message.text)
    naming.next = 0
    naming.names = []
  }

  /// All that wait are told as they are.
  func endAllNaming() {
    while !naming.waiting.isEmpty { endNaming(isKnown: false) }
  }
}
