import BlockProtocol
import FileProtocol
import Format
import MemoryService
import Simulation

/// A very simple crash-safe filesystem, to test the explorer: it keeps everything in memory and journals each
/// request that makes a change; a sync writes the new records in one checksummed batch and flushes. It can be
/// created with a fault.
final class JournalService: FileService {
  enum Fault: CaseIterable {
    case none, noFlush, answersEarly, swapsRecords, losesData, losesRenames
  }

  let inner: MemoryService
  let effects = Effects()
  var now = Instant(monotonic: 0, realtime: 0)
  private(set) var isReady = false
  private(set) var isStopped = false
  var failure: String?
  var requests: UnsafeMutablePointer<Request> { inner.requests }
  var replies: UnsafeMutablePointer<Reply> { inner.replies }

  private let fault: Fault
  private let memory: SimulatedMemory
  private let hasVolatileCache: Bool
  private var frames: [UInt32]
  private var journal: [[UInt8]] = []
  private var nextBlock: UInt64 = 1
  private var sequence: UInt64 = 0
  private var waiting: [UInt32] = []
  private var beingSynced: [UInt32] = []
  private var isSyncing = false
  private var isStopping = false
  private var mountBlocks: UInt64 = 0
  private var command = 0
  private var unread = 0
  /// When the oldest request came that is not on the disk, ns (monotonic); 0 for none.
  private var oldest: UInt64 = 0

  init(memory: SimulatedMemory, disk: SimulatedDisk, fault: Fault) {
    self.fault = fault
    self.memory = memory
    hasVolatileCache = disk.profile.hasVolatileCache
    inner = MemoryService(slots: memory.slots, arena: memory.base)
    frames = (0..<memory.frameCount).map { UInt32(memory.firstFrame + $0) }
  }

  // MARK: Requests

  func begin(slot: Int) {
    let request = requests[slot]
    if let record = record(request) { journal.append(record) }
    inner.now = now
    inner.begin(slot: slot)
    inner.effects.finished.removeAll()
    let isSync =
      request.operation == .fsync || request.operation == .fsyncdir || request.operation == .syncfs
      || (request.operation == .write && request.flags & LinuxFlag.sync == LinuxFlag.sync)
    guard isSync, replies[slot].error == 0 else { return effects.finished.append(UInt32(slot)) }
    if fault == .answersEarly { effects.finished.append(UInt32(slot)) } else { waiting.append(UInt32(slot)) }
    startSync()
  }

  func forget(node: UInt64, count: UInt64) { inner.forget(node: node, count: count) }

  func stop() {
    isStopping = true
    startSync()
  }

  // MARK: The journal

  private func record(_ request: Request) -> [UInt8]? {
    switch request.operation {
    case .setattr, .mknod, .mkdir, .unlink, .rmdir, .symlink, .link, .rename, .create, .createUnnamed,
      .write, .setxattr, .removexattr, .fallocate:
      break
    default: return nil
    }
    if fault == .losesRenames, request.operation == .rename { return nil }
    var payload: [UInt8] = []
    if request.operation == .write {
      let start = memory.base + Int(request.firstFrame) * Page.size + request.payloadOffset
      payload = Array(UnsafeRawBufferPointer(start: start, count: Int(request.length)))
      if fault == .losesData { payload = payload.map { _ in 0 } }
    }
    var bytes = withUnsafeBytes(of: request) { Array($0) }
    bytes += withUnsafeBytes(of: now.realtime) { Array($0) }
    for part in [Array(request.name), Array(request.otherName), payload] {
      bytes += withUnsafeBytes(of: part.count) { Array($0) } + part
    }
    return withUnsafeBytes(of: bytes.count) { Array($0) } + bytes
  }

  private func startSync(isDue: Bool = false) {
    guard !isSyncing, isReady else { return }
    guard !waiting.isEmpty || ((isStopping || isDue) && !journal.isEmpty) else {
      if isStopping { isStopped = true }
      return
    }
    isSyncing = true
    beingSynced = waiting
    waiting = []
    if fault == .swapsRecords, journal.count > 1 { journal.swapAt(journal.count - 1, journal.count - 2) }
    writeBatch()
    journal = []
  }

  /// Sequence, length and checksum, then the records.
  private func writeBatch() {
    sequence += 1
    let body = journal.flatMap { $0 }
    let sum = body.withUnsafeBytes { Checksum.unseeded.of($0) }
    var batch = [UInt8]()
    for field in [sequence, UInt64(body.count), UInt64(sum)] {
      batch += withUnsafeBytes(of: field) { Array($0) }
    }
    batch += body
    let count = (batch.count + Page.size - 1) / Page.size
    for index in 0..<count {
      let page = memory.base + Int(frames[index]) * Page.size
      page.initializeMemory(as: UInt8.self, repeating: 0, count: Page.size)
      let part = batch[index * Page.size..<min(batch.count, (index + 1) * Page.size)]
      part.withUnsafeBytes { page.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
    }
    command = 1
    frames.withUnsafeBufferPointer {
      effects.commands.append(
        BlockCommand(.write, block: nextBlock, count: UInt32(count), frames: $0.baseAddress, tag: 1))
    }
    nextBlock += UInt64(count)
  }

  func complete(tag: UInt64, errno: Int32) {
    guard isReady else { return mountReadEnded(tag, errno) }
    if command == 1, hasVolatileCache, fault != .noFlush {
      command = 2
      effects.commands.append(BlockCommand(.flush, tag: 2))
      return
    }
    isSyncing = false
    if fault != .answersEarly { effects.finished += beingSynced }
    startSync()
  }

  // MARK: Mount

  func advance() -> UInt64 {
    guard !isReady else { return commitInBackground() }
    guard mountBlocks == 0 else { return .max }
    mountBlocks = UInt64(frames.count)
    frames.withUnsafeBufferPointer {
      effects.commands.append(
        BlockCommand(.read, block: 1, count: UInt32(mountBlocks), frames: $0.baseAddress, tag: 1))
    }
    return .max
  }

  /// Writes changes that were not synced after five seconds at the latest.
  private func commitInBackground() -> UInt64 {
    guard !journal.isEmpty, !isSyncing else {
      oldest = 0
      return .max
    }
    if oldest == 0 { oldest = now.monotonic }
    guard now.monotonic >= oldest + 5_000_000_000 else { return oldest + 5_000_000_000 }
    oldest = 0
    startSync(isDue: true)
    return .max
  }

  /// Reads block by block where a power cut left unreadable blocks.
  private func mountReadEnded(_ tag: UInt64, _ errno: Int32) {
    if tag == 1, errno != 0 {
      unread = frames.count
      frames.withUnsafeBufferPointer {
        for index in 0..<$0.count {
          effects.commands.append(
            BlockCommand(
              .read, block: 1 + UInt64(index), count: 1, frames: $0.baseAddress! + index,
              tag: UInt64(100 + index)))
        }
      }
      return
    }
    if tag >= 100 {
      unread -= 1
      if errno != 0 {
        let page = memory.base + Int(frames[Int(tag) - 100]) * Page.size
        page.initializeMemory(as: UInt8.self, repeating: 0, count: Page.size)
      }
    }
    if unread == 0 { mounted() }
  }

  private func mounted() {
    let bytes = UnsafeRawBufferPointer(
      start: memory.base + Int(frames[0]) * Page.size, count: frames.count * Page.size)
    var offset = 0
    while offset + 24 <= bytes.count {
      let number = bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
      let length = Int(clamping: bytes.loadUnaligned(fromByteOffset: offset + 8, as: UInt64.self))
      let sum = bytes.loadUnaligned(fromByteOffset: offset + 16, as: UInt64.self)
      guard number == sequence + 1, length <= bytes.count - offset - 24 else { break }
      let body = UnsafeRawBufferPointer(rebasing: bytes[(offset + 24)..<(offset + 24 + length)])
      guard sum == UInt64(Checksum.unseeded.of(body)) else { break }
      sequence = number
      replay(Array(body))
      offset += (24 + length + Page.size - 1) / Page.size * Page.size
    }
    nextBlock = 1 + UInt64(offset / Page.size)
    isReady = true
  }

  private func replay(_ body: [UInt8]) {
    body.withUnsafeBytes { bytes in
      var offset = 0
      func number() -> Int? {
        guard offset + 8 <= bytes.count else { return nil }
        defer { offset += 8 }
        return bytes.loadUnaligned(fromByteOffset: offset, as: Int.self)
      }
      while let length = number(), length > 0, length <= bytes.count - offset {
        let end = offset + length
        guard length >= MemoryLayout<Request>.size + 8 else { return }
        var request = Request()
        withUnsafeMutableBytes(of: &request) {
          $0.copyBytes(from: bytes[offset..<offset + MemoryLayout<Request>.size])
        }
        offset += MemoryLayout<Request>.size
        inner.now.realtime = Int64(number() ?? 0)
        var parts: [UnsafeRawBufferPointer] = []
        for _ in 0..<3 {
          guard let count = number(), count >= 0, count <= end - offset else { return }
          parts.append(UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + count]))
          offset += count
        }
        request.name = parts[0]
        request.otherName = parts[1]
        redo(request, payload: parts[2])
        offset = end
      }
    }
  }

  private func redo(_ original: Request, payload: UnsafeRawBufferPointer) {
    var request = original
    request.firstFrame = 0
    request.payloadOffset = 0
    if payload.count > 0 { memory.base.copyMemory(from: payload.baseAddress!, byteCount: payload.count) }
    requests[0] = request
    replies[0] = Reply()
    inner.begin(slot: 0)
    inner.effects.finished.removeAll()
    // A file without a name may get one by a later record.
    guard original.operation != .createUnnamed else { return }
    if replies[0].error == 0, replies[0].node != 0 { inner.forget(node: replies[0].node, count: 1) }
  }
}
