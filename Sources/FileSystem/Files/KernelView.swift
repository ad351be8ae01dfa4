import Format

/// What the kernel knows of an inode, and what it may keep of it in its page cache.
struct KernelView {
  /// Lookups the kernel has not forgotten.
  private(set) var lookups: UInt64 = 0
  /// The directory by which the kernel came here last, and the hash of the name there; 0 where that is not
  /// known.
  private(set) var parent: UInt64 = 0
  private(set) var nameHash: UInt64 = 0
  /// The last name is gone, but the kernel still knows the inode.
  private(set) var isOrphan = false
  /// Pages of it may lie in the kernel's cache.
  private(set) var mayBeCached = false
  /// Direct writes since something came through the kernel's cache.
  private(set) var directWrites: UInt8 = 0
  /// How often the kernel is still to be told attributes that it must ask for again.
  private(set) var doubtfulAnswers: UInt8 = 0

  /// Direct writes without anything through the cache between them, after which the kernel is to forget all
  /// pages, so that those that follow need nothing: a file that is written directly most often was filled
  /// through the cache once.
  static let directWritesUntilAll: UInt8 = 64

  /// Questions for attributes that the kernel repeats after a write through its cache, for as long as a read
  /// would move the access time: a program that reads the file asks for its attributes first, and so may a
  /// few others.
  static let doubtfulAnswersAfterWrite: UInt8 = 8

  /// The kernel is told of the inode once more, by the name with `hash` in directory `parent`.
  mutating func look(in parent: UInt64, hash: UInt64) {
    lookups += 1
    setName(in: parent, hash: hash)
  }

  /// The name by which the kernel knows the inode has changed.
  mutating func setName(in parent: UInt64, hash: UInt64) {
    self.parent = parent
    nameHash = hash
  }

  /// The kernel dropped lookups, at most those there are.
  mutating func forget(_ count: UInt64) { lookups -= min(lookups, count) }

  /// The inode lost its last name while the kernel knows it.
  mutating func becomeOrphan() { isOrphan = true }

  /// The kernel has forgotten the inode.
  /// - Returns: whether it has no name either.
  mutating func takeOrphan() -> Bool {
    defer { isOrphan = false }
    return isOrphan
  }

  /// A read or a write came through the kernel's cache: pages of the file may be left there.
  mutating func usedCache(isWrite: Bool) {
    mayBeCached = true
    directWrites = 0
    if isWrite { doubtfulAnswers = Self.doubtfulAnswersAfterWrite }
  }

  /// The kernel is told attributes that it must ask for again.
  mutating func answeredDoubtfully() { doubtfulAnswers -= min(doubtfulAnswers, 1) }

  /// A direct write was carried out, of which the kernel must forget what it has cached.
  /// - Returns: whether it is to forget all of the file.
  mutating func wroteDirectly() -> Bool {
    directWrites += 1
    guard directWrites >= Self.directWritesUntilAll else { return false }
    mayBeCached = false
    directWrites = 0
    return true
  }
}
