import Format

extension Check {
  /// Walks all directories and counts the names each inode has.
  func checkDirectories() {
    let numbers = directories.keys.sorted()
    for start in stride(from: 0, to: numbers.count, by: BatchBuffers.blocks) {
      let batch = numbers[start..<min(start + BatchBuffers.blocks, numbers.count)]
      let wanted = batch.compactMap { number in
        inodeLeaves.entry(number).map { BlockReference(entry: $0, tag: number) }
      }
      fetch(wanted, claiming: false, .inode, place: { .inode($0) }) { number, page in
        checkDirectory(Inode(page), number)
      }
      options.progress("directories", Double(start) / Double(max(numbers.count, 1)))
    }
  }

  private func checkDirectory(_ inode: Inode, _ number: UInt64) {
    var walk = DirectoryWalk(self, directory: number)
    var names: UInt64 = 0
    var bytes: UInt64 = 0
    walk.run(inode) { record in
      names += 1
      bytes += UInt64(DirectoryRecord.fixedSize + record.name.count)
      if number == NodeID.orphans.number {
        checkOrphan(record)
      } else {
        checkRecord(record, in: number)
      }
    }
    directories[number]?.names = names
    guard walk.isComplete else {
      note(
        Finding(
          .directoryNames, .damage, .inode(number), "some of its names cannot be read",
          repairs: givingUp(.salvageDirectory(number))))
      return
    }
    if inode.entryCount != names || inode.size != bytes {
      note(
        Finding(
          .directoryCount, .inconsistency, .inode(number),
          "\(inode.entryCount) names of \(inode.size) bytes, counted \(names) of \(bytes)",
          repairs: [.rebuildDirectory(number)], isSafe: true))
    }
  }

  private func checkRecord(_ record: FoundRecord, in directory: UInt64) {
    func place() -> Finding.Place { .name(Array(record.name), directory: directory) }
    let drop = Repair.dropRecord(directory: directory, key: record.key, node: record.node.raw)
    if !DirectoryRecord.isPossible(record.name) {
      note(Finding(.directoryName, .inconsistency, place(), "the name is not a valid one", repairs: [drop]))
    }
    guard let target = inodes.find(record.node.number), target.pointee.generation == record.node.generation,
      record.node != .root, record.node != .orphans
    else {
      guard !isUnknown(record.node.number) else {
        note(
          Finding(
            .danglingRecord, .damage, place(),
            "the table that leads to inode \(record.node.number) is damaged"))
        return
      }
      note(
        Finding(
          .danglingRecord, .inconsistency, place(),
          "inode \(record.node.number) of generation \(record.node.generation) is not there", repairs: [drop])
      )
      return
    }
    target.pointee.names &+= 1
    guard target.pointee.flags.contains(.readable) else {
      note(
        Finding(
          .danglingRecord, .damage, place(), "its inode \(record.node.number) is damaged",
          repairs: [.clearInode(record.node.number), drop]))
      return
    }
    if target.pointee.type != record.type {
      note(
        Finding(
          .directoryType, .inconsistency, place(),
          "type \(record.type), the inode is of type \(target.pointee.type)",
          repairs: [.rebuildDirectory(directory)], isSafe: true))
    }
    if target.pointee.isDirectory { foundDirectory(record, in: directory, place(), drop) }
  }

  /// Whether it cannot be known if the inode exists, because the table block above it cannot be read.
  private func isUnknown(_ number: UInt64) -> Bool {
    !isWhole && number < pack.inodes.limit && inodeLeaves.place(number >> 8) == nil
  }

  /// Records in which directory a directory's name was found; a second name is an error.
  private func foundDirectory(
    _ record: FoundRecord, in directory: UInt64, _ place: Finding.Place, _ drop: Repair
  ) {
    let number = record.node.number
    guard var summary = directories[number] else { return }
    directories[directory]?.subdirectories &+= 1
    if summary.foundIn == 0 {
      summary.foundIn = directory
      summary.foundKey = record.key
    } else {
      // The right name is the one in the directory that is its parent by its own inode.
      let isRight = NodeID(raw: summary.parent).number == directory && summary.foundIn != directory
      let wrong =
        isRight
        ? Repair.dropRecord(directory: summary.foundIn, key: summary.foundKey, node: record.node.raw) : drop
      note(Finding(.directoryLinked, .inconsistency, place, "a directory with two names", repairs: [wrong]))
      if isRight {
        summary.foundIn = directory
        summary.foundKey = record.key
      }
    }
    directories[number] = summary
  }

  /// A record of the orphan directory: an inode without a name, or with a detached tree.
  private func checkOrphan(_ record: FoundRecord) {
    let directory = NodeID.orphans.number
    func place() -> Finding.Place { .name(Array(record.name), directory: directory) }
    let drop = Repair.dropRecord(directory: directory, key: record.key, node: record.node.raw)
    guard let target = inodes.find(record.node.number), target.pointee.generation == record.node.generation,
      record.node != .root, record.node != .orphans
    else {
      note(
        Finding(
          .danglingRecord, .inconsistency, place(), "inode \(record.node.number) is not there",
          repairs: [drop]))
      return
    }
    guard record.name.elementsEqual(Self.orphanName(record.node.number)) else {
      note(
        Finding(
          .orphan, .inconsistency, place(), "not the name of inode \(record.node.number)", repairs: [drop]))
      return
    }
    target.pointee.flags.insert(.orphan)
    report.orphans += 1
  }

  /// The name of an inode in the orphan directory: its number in 16 hexadecimal digits.
  static func orphanName(_ number: UInt64) -> [UInt8] {
    let digits = String(number, radix: 16)
    return Array((String(repeating: "0", count: max(0, 16 - digits.count)) + digits).utf8)
  }
}
