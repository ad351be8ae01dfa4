import Foundation
import Testing

@Suite struct VarveBenchTests {
  private let image: TestImage
  init() throws { image = try TestImage() }

  private func figures(_ arguments: String...) throws -> [String: Any] {
    let result = try Command.run(
      "varve", ["bench", image.path, "--seconds", "0.05", "--json"] + arguments)
    #expect(result.status == 0, "\(result.errors)")
    return try result.json()
  }

  @Test(arguments: ["random", "sequential"], [("4096", 1), ("4096", 32), ("128K", 4)])
  func figuresAgreeWithEachOther(pattern: String, size: (block: String, depth: Int)) throws {
    let before = try image.contents()
    let figures = try figures("--read", pattern, "--block", size.block, "--depth", "\(size.depth)")
    let bytes = size.block == "128K" ? 131_072.0 : 4096
    let commands = try #require(figures["commands"] as? Double)
    let seconds = try #require(figures["seconds"] as? Double)
    let iops = try #require(figures["iops"] as? Double)
    #expect(commands >= Double(size.depth))
    #expect(seconds >= 0.05)
    #expect(abs(iops - commands / seconds) <= iops / 1000)
    let bandwidth = try #require(figures["bytes_per_second"] as? Double)
    #expect(abs(bandwidth - iops * bytes) <= bandwidth / 1000)
    let latency = try #require(figures["latency_us"] as? [String: Double])
    let order = ["min", "p50", "p99", "p999", "max"].map { latency[$0] ?? -1 }
    #expect(order == order.sorted() && order[0] > 0)
    #expect((order[0]...order[4]).contains(latency["mean"] ?? -1))
    #expect(try image.contents() == before)
  }

  @Test func writesOnlyTheRangeThatIsGiven() throws {
    let before = try image.contents()
    _ = try figures("--write", "sequential", "--destroy", "--size", "1M", "--depth", "4")
    let after = try image.contents()
    #expect(after.prefix(1 << 20) != before.prefix(1 << 20))
    #expect(after.dropFirst(1 << 20) == before.dropFirst(1 << 20))
  }

  @Test func nothingIsWrittenWithoutDestroy() throws {
    let before = try image.contents()
    let result = try Command.run("varve", "bench", image.path, "--write", "random")
    #expect(result.status == 2)
    #expect(result.errors.contains("--destroy"))
    #expect(try image.contents() == before)
  }

  @Test func aQueueTooShallowIsRefused() throws {
    let result = try Command.run(
      "varve", "bench", "emulated:\(image.path)?depth=16", "--read", "random", "--depth", "64")
    #expect(result.status == 1)
    #expect(result.errors.contains("use --depth 15 or less"))
    #expect(
      try Command.run(
        "varve", "bench", "emulated:\(image.path)?depth=16", "--read", "random", "--depth", "15", "--seconds",
        "0.05"
      ).status == 0)
  }

  @Test func aNamespaceSmallerThanACommandIsRefused() throws {
    let small = try TestImage(bytes: Data(count: 8192))
    let result = try Command.run("varve", "bench", small.path, "--read", "random", "--block", "1M")
    #expect(result.status == 1)
    #expect(result.errors.contains("smaller than a command"))
  }

  @Test func aDeviceThatIsJustLeftIsWaitedFor() throws {
    let holder = Process()
    holder.executableURL = URL(filePath: "/bin/sh")
    holder.arguments = ["-c", "exec 9<>\"$0\"; flock 9; echo held; sleep 0.5", image.path]
    let output = Pipe()
    holder.standardOutput = output
    try holder.run()
    #expect(String(decoding: output.fileHandleForReading.availableData, as: UTF8.self) == "held\n")
    let result = try Command.run("varve", "bench", image.path, "--read", "random", "--seconds", "0.05")
    holder.waitUntilExit()
    #expect(result.status == 0)
    #expect(result.errors.contains("waiting for it to leave"))
  }
}
