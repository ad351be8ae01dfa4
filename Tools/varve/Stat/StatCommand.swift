import ArgumentParser
import Control
import Device
import Glibc
import JSONValue
import NVMe

/// `varve stat`: what a mounted device has done, and how long its commands took.
struct Stat: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show a mounted device's counters and the latencies of its commands.",
    discussion: """
      With an interval, a line for each: what was done in that time (the first: since the mount). Without, all \
      counters of the queues, the event loop and the filesystem, and the histogram of latencies. Of a device that is \
      not mounted, what its bring-up took.
      """)

  @OptionGroup var target: DeviceOrMountArgument

  @Argument(help: "Seconds between lines.")
  var interval: Double?
  @Argument(help: "How many lines; without end by default.")
  var count: Int?

  @OptionGroup var output: OutputOptions

  func validate() throws {
    if let interval, !(0.01...86_400).contains(interval) {
      throw ValidationError("an interval of \(interval) s is not between 0.01 and 86400")
    }
    if let count, count < 1 { throw ValidationError("\(count) is no number of lines") }
  }

  func run() throws {
    if let daemon = try ServingDaemon.findMount(target.device) {
      if let interval { return try watch(daemon, every: interval) }
      let report = StatReport(try daemon.askOfMount("stat"))
      return output.print(report.json, normal: report.text)
    }
    guard interval == nil else {
      throw DeviceError("\(target.device) is not mounted: only a mounted device has anything to watch")
    }
    try DeviceArgument.parse([target.device]).withController { controller, _ in
      let report = StatReport(
        .object([
          ("serves", .null), ("controller", controller.report),
          ("queues", .array([QueueReport(adminOf: controller).json])),
        ]))
      output.print(report.json, normal: report.text)
    }
  }

  /// Prints a line an interval, until the daemon leaves.
  private func watch(_ daemon: ServingDaemon, every interval: Double) throws {
    var last = StatSample()
    var lines = 0
    while true {
      let sample = StatSample(try daemon.askOfMount("stat"))
      let line = StatLine(from: last, to: sample)
      if output.outputFormat == .json {
        print(line.json.line)
      } else {
        if lines % 20 == 0 { print(StatLine.heading) }
        print(line.text)
      }
      fflush(nil)
      last = sample
      lines += 1
      if lines == count { return }
      usleep(UInt32(min(interval * 1e6, Double(UInt32.max))))
    }
  }
}
