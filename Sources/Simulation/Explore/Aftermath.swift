import FileProtocol
import Format

/// Synced work on a recovered filesystem, all of which must be there after another crash.
final class Aftermath {
  private static let name = "aftermath"
  private let harness: Harness
  private let seed: UInt64
  /// How many files were synced.
  private var synced = 0

  init(_ harness: Harness, seed: UInt64) {
    self.harness = harness
    self.seed = seed
  }

  private var lengths: [Int] { [100, 5000, 70_000] }

  private func content(_ index: Int) -> [UInt8] {
    Stamp.bytes(file: 0xffff, write: seed & 0xffff, offset: UInt64(index) << 20, count: lengths[index])
  }

  /// Makes a directory of synced files. On a full disk it does nothing.
  func work() throws {
    let directory = try harness.call(
      Call(.mkdir, node: 1, name: Self.name).with { $0.mode = FileType.directory | 0o755 })
    guard try succeeded(directory) else { return }
    for index in lengths.indices {
      let file = try harness.call(
        Call(.create, node: directory.reply.node, name: "file\(index)").with {
          $0.mode = FileType.regular | 0o644
        })
      guard try succeeded(file) else { return }
      let write = try harness.call(
        Call(.write, node: file.reply.node).with {
          $0.handle = file.reply.handle
          $0.payload = content(index)
        })
      guard try succeeded(write), write.reply.count == UInt64(lengths[index]) else { return }
      let sync = try harness.call(Call(.fsync, node: file.reply.node).with { $0.handle = file.reply.handle })
      guard try succeeded(sync) else { return }
      synced += 1
    }
  }

  private func succeeded(_ answer: Answer) throws -> Bool {
    if answer.error == 28 { return false }
    guard answer.error == 0 else { throw SimulationFailure("work after recovery fails with \(answer.error)") }
    return true
  }

  /// What is wrong after the second crash, nil when nothing is.
  func fault(_ before: Recovered, _ after: Recovered) -> String? {
    for (id, node) in before.nodes.sorted(by: { $0.key < $1.key }) {
      guard var now = after.nodes[id] else { return "node \(id) is gone" }
      var then = node
      then.attributes.accessTime = now.attributes.accessTime
      // The freeing of detached trees is not logged, so a crash sets it back.
      then.attributes.sectors = now.attributes.sectors
      if id == 1 {
        now.attributes = then.attributes
        now.entries[Self.name] = nil
      }
      if now != then { return "node \(id) is another: \(Self.difference(then, now))" }
    }
    return faultOfWork(after)
  }

  private static func difference(_ then: Recovered.Node, _ now: Recovered.Node) -> String {
    if then.attributes != now.attributes { return "\(then.attributes) became \(now.attributes)" }
    if then.content != now.content { return "its contents changed" }
    if then.entries != now.entries { return "its names changed" }
    return "its target or extended attributes changed"
  }

  private func faultOfWork(_ after: Recovered) -> String? {
    let directory = after.nodes[1]?.entries[Self.name].flatMap { after.nodes[$0] }
    for index in 0..<synced {
      guard let node = directory?.entries["file\(index)"].flatMap({ after.nodes[$0] }) else {
        return "file\(index), synced after recovery, is gone"
      }
      if node.content != content(index) { return "file\(index), synced after recovery, has other contents" }
    }
    return nil
  }
}
