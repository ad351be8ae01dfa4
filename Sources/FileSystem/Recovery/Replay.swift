import Format
import Glibc

/// Applies the log writes that were read: of each first the records, in order and exactly once, then its data
/// blocks.
///
/// Owns the log writes, the position in them, and the segments that they lie in. A record is checked before
/// anything of it is applied (`checkPossible`), and applied by the code that requests use too (`Changes`).
final class Replay {
  let cache: Cache
  let segments: SegmentTable
  let volume: Volume
  let nodes: NodeStore
  let map: FileMap
  let pages: Pages
  let directories: Directories
  let contents: FileContents
  let changes: Changes
  let freeing: Freeing
  let log: Log
  /// The log writes to be applied.
  private var entries: [ReplayEntry] = []
  /// The position: log write, bytes of its records, its blocks.
  private var index = 0
  private var recordOffset = 0
  private var block = 0
  /// The segments that the log writes lie in.
  private var heldSegments: [UInt32] = []

  init(changes: Changes, contents: FileContents, freeing: Freeing, log: Log) {
    self.changes = changes
    self.contents = contents
    self.freeing = freeing
    self.log = log
    directories = contents.directories
    pages = contents.pages
    map = pages.map
    nodes = map.nodes
    cache = nodes.cache
    segments = nodes.segments
    volume = nodes.volume
  }

  /// Takes over the log writes to be applied. Their segments are kept open until all are applied, so that
  /// none of them is written or freed.
  func begin(_ entries: [ReplayEntry]) {
    self.entries = entries
    for entry in entries {
      guard let segment = volume.geometry.segment(of: entry.header.address), !segments.isOpen(Int(segment))
      else {
        continue
      }
      segments.reopen(segment)
      heldSegments.append(segment)
    }
  }

  /// The log write to be applied next; nil when all have been.
  var next: ReplayEntry? { index < entries.count ? entries[index] : nil }

  /// For a message: the log write to be applied next; empty when there is none.
  var place: String {
    next.map { " where log write \($0.header.sequence) at block \($0.header.address) is to be applied" } ?? ""
  }

  /// Whether nothing of the next log write has been applied.
  var isBetweenEntries: Bool { recordOffset == 0 && block == 0 }

  /// The sequence number of the last log write; nil when there is none.
  var last: UInt64? { entries.last?.header.sequence }

  /// Applies the next log write, or the rest of it.
  func step() throws(Stop) {
    guard let entry = next else { return }
    try applyRecords(entry)
    try applyRuns(entry.header)
    log.countReplayed(UInt64(entry.header.blockCount) + 1)
    index += 1
    recordOffset = 0
    block = 0
  }

  /// Releases the log writes, all of which have been applied.
  func forget() {
    entries = []
    index = 0
  }

  /// Closes the segments of the applied log, so that they can be freed once later checkpoints do not need
  /// them.
  /// - Parameter checkpoint: the last durable one.
  func releaseSegments(before checkpoint: UInt64) {
    for segment in heldSegments {
      segments.wrote(segment, for: checkpoint)
      segments.close(segment)
    }
    heldSegments = []
  }

  private func applyRecords(_ entry: ReplayEntry) throws(Stop) {
    let result: Result<Void, Stop> = entry.records.withUnsafeBytes { bytes in
      do throws(Stop) {
        while recordOffset < bytes.count {
          let rest = UnsafeRawBufferPointer(rebasing: bytes[recordOffset...])
          var reader = RecordReader(rest)
          guard let record = reader.next() else { throw Stop.fail(EIO) }
          guard cache.reserve(Waiting.framesPerOperation) else { throw Stop.again(.memory) }
          try checkPossible(record)
          try carryOut(record)
          recordOffset += reader.offset
        }
        return .success(())
      } catch { return .failure(error) }
    }
    try result.get()
  }

  private func carryOut(_ record: LogRecord) throws(Stop) {
    if case .create(let create) = record {
      let id = NodeID(raw: create.node)
      try freeFormerInode(id.number)
      try nodes.prepareClaim(nodes.inodes, id)
      try changes.prepare(record)
      try nodes.claimNumber(nodes.inodes, id)
    } else {
      try changes.prepare(record)
    }
    try changes.perform(record)
  }

  /// Frees the former inode with the number of a new one: it was an orphan at the checkpoint and was freed
  /// after it.
  private func freeFormerInode(_ number: UInt64) throws(Stop) {
    while true {
      if nodes.inodes.isGivenUp(number) { try nodes.processAllFrees(nodes.inodes) }
      let entry = try nodes.tableEntry(nodes.inodes, number)
      guard entry.address != 0 || entry.flags & Entry.allocated != 0 else { return }
      let inode = try nodes.inode(number)
      guard inode.links == 0 else { throw .fail(EIO) }
      try nodes.prepareNodes(FileMap.nodesPerWrite)
      try directories.loadOrphan(number)
      if inode.detachedRoot != 0 { try contents.freeDetached(inode) } else { try freeing.freeOrphan(inode) }
    }
  }

  /// Enters the data blocks of a log write in the maps of their files.
  private func applyRuns(_ header: LogHeader) throws(Stop) {
    var position = Int(header.recordBlocks)
    for run in header.runs {
      for step in 0..<Int(run.count) {
        let at = position + step
        guard at >= block else { continue }
        if run.kind == .data {
          let address = header.address + 1 + UInt64(at)
          try applyData(run, index: run.index + UInt64(step), address, header.checksums[at])
        }
        block = at + 1
      }
      position += Int(run.count)
    }
  }

  private func applyData(_ run: OwnerRun, index: UInt64, _ address: UInt64, _ sum: UInt32) throws(Stop) {
    let inode: Inode
    do throws(Stop) { inode = try nodes.inode(run.number) } catch .fail(ESTALE) { return }
    guard inode.generation == run.generation, inode.layout == .direct || inode.layout == .tree,
      index < FileMap.blocks(inode.size), index < FileMap.maximumFileBlocks
    else { return }
    guard cache.reserve(Waiting.framesPerOperation) else { throw .again(.memory) }
    try nodes.prepareNodes(FileMap.nodesPerWrite)
    try map.prepareMap(inode, index..<index + 1)
    pages.dropPages(inode, index..<index + 1)
    nodes.modify(inode.page)
    if try map.makeMapSlot(inode, index).entry.isHole { inode.blocks &+= 1 }
    try map.setMapEntry(inode, index, to: address, checksum: sum)
  }
}
