import FileProtocol
import FileSystem
import Format
import TestSupport
import Testing

@testable import Checker

@Suite("An image that the filesystem has written")
struct RecoveryTests {
  @Test("is clean after an orderly unmount, and clean after recovery from any moment", arguments: 0..<4)
  func mounted(seed: UInt64) throws {
    let builder = try ImageBuilder(blocks: 16_384)
    let session = Session(builder.image)
    try session.mount()
    var random = SplitMix(seed: seed)
    for step in 0..<400 {
      try session.step(&random)
      if step == 150 || step == 399 {
        let cut = Overlay(over: builder.image)
        #expect(try Recovery.isNeeded(cut))
        _ = try Recovery.replay(cut, time: 5)
        #expect(try !Recovery.isNeeded(cut))
        let report = try Checker.check(cut)
        #expect(report.findings.isEmpty, "cut at \(step): \(report.findings.text)")
      }
    }
    try session.unmount()
    let report = try Checker.check(builder.image)
    #expect(report.findings.isEmpty, "\(report.findings.text)")
    #expect(report.files > 20 && report.directories > 4)
  }

  @Test("can be written again after a repair")
  func repairedAndMounted() throws {
    let (builder, tree) = try ImageBuilder.populated()
    try builder.change { transaction in
      try transaction.inode(tree.small).links = 9
      try transaction.changeNames(of: 1) { $0.removeAll { $0.node.number == tree.directory } }
    }
    let outcome = try Checker.repair(builder.image, time: 4) { _ in true }
    #expect(outcome.after.isClean, "\(outcome.after.findings.text)")
    let session = Session(builder.image)
    try session.mount()
    var random = SplitMix(seed: 1)
    for _ in 0..<100 { try session.step(&random) }
    try session.unmount()
    let report = try Checker.check(builder.image)
    #expect(report.findings.isEmpty, "\(report.findings.text)")
  }

  @Test("is required to replay a log: a device without a filesystem is refused")
  func foreign() throws {
    #expect(throws: ImageError.format(.notVarve)) { try Recovery.isNeeded(EmptyBlocks(blockCount: 20_000)) }
    #expect(throws: RecoveryError.self) {
      try Recovery.replay(Overlay(over: EmptyBlocks(blockCount: 20_000)), time: 0)
    }
  }
}

/// The filesystem on an image, driven request by request.
private final class Session {
  private let base: UnsafeMutableRawPointer
  private let service: FileSystem
  private let pump: Pump
  private var directories: [UInt64] = [NodeID.root.raw]
  private var files: [UInt64] = []
  private var names: [(parent: UInt64, name: [UInt8], node: UInt64)] = []
  private var counter = 0

  init(_ image: any BlockWriter) {
    base = .allocate(byteCount: 4098 * Page.size, alignment: Page.size)
    service = FileSystem(
      memory: WorkingMemory(base: base, firstFrame: 64, frameCount: 4000, slots: 1),
      blockCount: image.blockCount, hasVolatileCache: true, canDiscard: false)
    pump = Pump(service, image: image, memory: base, time: 7)
  }

  deinit { base.deallocate() }

  func mount() throws { try pump.run { service.isReady } }

  func unmount() throws {
    service.stop()
    try pump.run { service.isStopped }
  }

  /// Carries out one request; the caller checks its error.
  @discardableResult
  private func perform(_ operation: FileOperation, _ fill: (inout Request) -> Void) throws -> Reply {
    var request = Request()
    request.operation = operation
    request.firstFrame = 0
    request.frameCount = 64
    fill(&request)
    service.requests[0] = request
    service.begin(slot: 0)
    try pump.run { !service.effects.finished.isEmpty }
    service.effects.finished.removeAll()
    return service.replies[0]
  }

  /// Some random operation.
  func step(_ random: inout SplitMix) throws {
    switch Int.random(in: 0..<20, using: &random) {
    case 0..<6: try make(0o100644, &random)
    case 6: try make(0o040755, &random)
    case 7..<13: try write(&random)
    case 13..<16: try remove(&random)
    case 16: try truncate(&random)
    case 17, 18: try rename(&random)
    default: try synchronize(&random)
    }
  }

  private func withName(_ name: [UInt8], _ body: (UnsafeRawBufferPointer) throws -> Void) rethrows {
    try name.withUnsafeBytes(body)
  }

  private func make(_ mode: UInt32, _ random: inout SplitMix) throws {
    counter += 1
    let name = Array("entry-\(counter)".utf8)
    let parent = directories.randomElement(using: &random) ?? NodeID.root.raw
    try withName(name) { bytes in
      let reply = try perform(mode == 0o040755 ? .mkdir : .mknod) {
        $0.node = parent
        $0.name = bytes
        $0.mode = mode
      }
      guard reply.error == 0 else { return }
      if mode == 0o040755 { directories.append(reply.node) } else { files.append(reply.node) }
      names.append((parent, name, reply.node))
    }
  }

  private func write(_ random: inout SplitMix) throws {
    guard let file = files.randomElement(using: &random) else { return }
    let length = Int.random(in: 1...200_000, using: &random)
    (base).initializeMemory(
      as: UInt8.self, repeating: UInt8.random(in: 0...255, using: &random), count: length)
    let offset = UInt64.random(in: 0...2_000_000, using: &random)
    try perform(.write) {
      $0.node = file
      $0.offset = offset
      $0.length = UInt64(length)
    }
  }

  private func remove(_ random: inout SplitMix) throws {
    guard let index = names.indices.randomElement(using: &random) else { return }
    let (parent, name, node) = names[index]
    try withName(name) { bytes in
      let reply = try perform(directories.contains(node) ? .rmdir : .unlink) {
        $0.node = parent
        $0.name = bytes
      }
      guard reply.error == 0 else { return }
      names.remove(at: index)
      directories.removeAll { $0 == node }
      if Bool.random(using: &random) {
        files.removeAll { $0 == node }
        service.forget(node: node, count: 1)
      }
    }
  }

  private func truncate(_ random: inout SplitMix) throws {
    guard let file = files.randomElement(using: &random) else { return }
    let size = UInt64.random(in: 0...1_000_000, using: &random)
    try perform(.setattr) {
      $0.node = file
      $0.change.size = size
    }
  }

  private func rename(_ random: inout SplitMix) throws {
    guard let index = names.indices.randomElement(using: &random) else { return }
    let (parent, name, node) = names[index]
    let target = directories.randomElement(using: &random) ?? NodeID.root.raw
    counter += 1
    let newName = Array("renamed-\(counter)".utf8)
    try withName(name) { old in
      try withName(newName) { new in
        let reply = try perform(.rename) {
          $0.node = parent
          $0.otherNode = target
          $0.name = old
          $0.otherName = new
        }
        if reply.error == 0 { names[index] = (target, newName, node) }
      }
    }
  }

  private func synchronize(_ random: inout SplitMix) throws {
    guard let file = files.randomElement(using: &random) else { return }
    try perform(.fsync) { $0.node = file }
  }
}

private typealias FileOperation = Operation
