import Format

/// One check of a filesystem whose log has been replayed: reads everything, changes nothing.
///
/// The order follows the dependencies: usage table, node tables, inodes with their maps and attributes,
/// directories; then what can be known only after all of these: link counts, names, unreferenced nodes, usage
/// counts. Memory: a bit for each block of the segments in use, 16 bytes an inode, 64 a directory, 2 bits and
/// 1/8 byte of table leaf an internal node.
final class Check {
  let reader: any BlockReader
  let options: CheckOptions
  let superblock: Superblock
  let pack: CheckpointPack
  let geometry: Geometry
  let checksum: Checksum
  let hash: DirectoryHash
  let buffers = BatchBuffers()
  let claims: BlockClaims
  let inodeLeaves: TableLeaves
  let nodeLeaves: TableLeaves
  let inodes = InodeSummaries()
  let references = NodeReferences()
  var directories: [UInt64: DirectorySummary] = [:]
  /// The usage table's entries; nil for segments whose usage block is damaged.
  var usage: [UsageEntry?] = []
  /// Data blocks still to be verified.
  var pendingData: [DataReference] = []
  /// Blocks reserved by fallocate, in all files.
  var promisedBlocks: UInt64 = 0
  /// Numbers in use in each table, and the number after the highest.
  var inodeNumbers = NumberCount()
  var nodeNumbers = NumberCount()
  /// Whether all nodes and tables could be read: only then is everything without a reference certainly dead.
  var isWhole = true
  /// Whether a table block cannot be read and is to be kept: then nothing is given up that may lie below it.
  var keepsTableBlock = false
  var report = CheckReport()

  init(_ image: Image, reader: any BlockReader, options: CheckOptions) {
    self.reader = reader
    self.options = options
    superblock = image.superblock
    pack = image.pack
    geometry = image.superblock.geometry
    checksum = Checksum(nonce: image.superblock.nonce)
    hash = DirectoryHash(key: image.superblock.hashKey)
    claims = BlockClaims(geometry: geometry)
    inodeLeaves = TableLeaves(reader: reader, checksum: checksum)
    nodeLeaves = TableLeaves(reader: reader, checksum: checksum)
  }

  /// Runs all phases.
  func run() {
    report.totalBlocks = UInt64(geometry.segmentCount) * UInt64(geometry.segmentBlocks)
    options.progress("tables", 0)
    checkUsageBlocks()
    checkNodeTable()
    checkInodes()
    verifyPendingData()
    checkDirectories()
    options.progress("counts", 0)
    checkNames()
    checkLinks()
    checkUnreferencedNodes()
    checkSpace()
    options.progress("counts", 1)
  }

  /// Adds a finding to the report.
  func note(_ finding: Finding) {
    report.counts[finding.severity, default: 0] += 1
    if report.findings.count < options.findingLimit { report.findings.append(finding) }
    options.onFinding(finding)
  }

  /// Reports damage to a block that refers to others.
  func noteDamage(
    _ kind: Finding.Kind, _ place: Finding.Place, _ detail: String, repairs: [Repair] = []
  ) {
    isWhole = false
    note(Finding(kind, .damage, place, detail, repairs: repairs))
  }
}

/// Numbers of a node table that are in use.
struct NumberCount {
  var used: UInt64 = 0
  /// The number after the highest in use.
  var end: UInt64 = 0

  mutating func add(_ number: UInt64) {
    used += 1
    end = max(end, number + 1)
  }
}
