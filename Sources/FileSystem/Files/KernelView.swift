import Format

/// What the kernel has of an inode: lookups, its last known name, and possibly pages and attributes in its
/// caches.
struct KernelView {
  /// Lookups that the kernel has not given back with FORGET.
  private(set) var lookups: UInt64 = 0
  /// The directory in which the kernel last looked the inode up, and the hash of the name there; 0 where that
  /// is not known.
  private(set) var parent: UInt64 = 0
  private(set) var nameHash: UInt64 = 0
  /// The last name was removed while the kernel still has lookups.
  private(set) var isOrphan = false
  /// It was made without a name (O_TMPFILE), and has had none since.
  private(set) var mayBeNamed = false
  /// Pages of it may be in the kernel's page cache.
  private(set) var mayBeCached = false
  /// Direct writes since the last read or write through the kernel's page cache.
  private(set) var directWrites: UInt8 = 0
  /// How many more GETATTR replies are to have no validity time, so that the kernel asks again.
  private(set) var doubtfulAnswers: UInt8 = 0

  /// Direct writes in a row after which the kernel is told to drop all cached pages of the file, so that
  /// later direct writes need no invalidation: a file written directly was often filled through the cache
  /// once.
  static let directWritesUntilAll: UInt8 = 64

  /// GETATTR replies without validity time after a write through the kernel's cache, while a read would
  /// update the access time: a program that reads the file causes a GETATTR first, and other programs may
  /// cause some.
  static let doubtfulAnswersAfterWrite: UInt8 = 8

  /// A reply gives the kernel one more lookup, by the name with `hash` in directory `parent`.
  mutating func look(in parent: UInt64, hash: UInt64) {
    lookups += 1
    setName(in: parent, hash: hash)
  }

  /// The name by which the kernel knows the inode has changed.
  mutating func setName(in parent: UInt64, hash: UInt64) {
    self.parent = parent
    nameHash = hash
  }

  /// FORGET: the kernel gives back lookups, at most those it has.
  mutating func forget(_ count: UInt64) { lookups -= min(lookups, count) }

  /// The inode lost its last name while the kernel has lookups.
  mutating func becomeOrphan() { isOrphan = true }

  /// The inode was made without a name.
  mutating func beganUnnamed() { (isOrphan, mayBeNamed) = (true, true) }

  /// The inode has got its first name.
  mutating func becameNamed() { (isOrphan, mayBeNamed) = (false, false) }

  /// The kernel has given back its last lookup.
  /// - Returns: whether the inode has no name either.
  mutating func takeOrphan() -> Bool {
    defer { isOrphan = false }
    return isOrphan
  }

  /// A read or a write came through the kernel's page cache: pages of the file may be left there.
  mutating func usedCache(isWrite: Bool) {
    mayBeCached = true
    directWrites = 0
    if isWrite { doubtfulAnswers = Self.doubtfulAnswersAfterWrite }
  }

  /// Counts a GETATTR reply without validity time.
  mutating func answeredDoubtfully() { doubtfulAnswers -= min(doubtfulAnswers, 1) }

  /// A direct write was carried out; the kernel is told to drop its cached pages of that range.
  /// - Returns: whether it is to drop all pages of the file instead.
  mutating func wroteDirectly() -> Bool {
    directWrites += 1
    guard directWrites >= Self.directWritesUntilAll else { return false }
    mayBeCached = false
    directWrites = 0
    return true
  }
}
