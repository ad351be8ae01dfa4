import DriverTestSupport
import TestSupport
import Testing

@testable import NVMe

@Suite struct LatencyHistogramTests {
  @Test func everyLatencyFallsIntoItsBucket() {
    var random = SplitMix(seed: 1)
    for _ in 0..<10_000 {
      let latency = random.next() >> UInt64.random(in: 0...63, using: &random)
      let bucket = LatencyHistogram.bucket(latency)
      #expect(bucket < LatencyHistogram.bucketCount)
      // Latencies this short do not occur.
      if latency < 16 {
        #expect(bucket < LatencyHistogram.bucket(16))
        continue
      }
      #expect(LatencyHistogram.lowerBound(bucket) <= latency)
      if latency < 1 << 63 { #expect(latency < LatencyHistogram.lowerBound(bucket + 1)) }
    }
  }

  @Test func quantilesLieWithinAQuarterOfTheTruth() {
    var recorder = LatencyRecorder()
    for latency in UInt64(1)...1_000 { recorder.record(latency * 1_000) }
    let histogram = recorder.histogram
    #expect(histogram.count == 1_000)
    #expect((500_000...640_000).contains(histogram.quantile(0.5)))
    #expect((990_000...1_250_000).contains(histogram.quantile(0.99)))
  }

  @Test func measuresFromTheDoorbellToThePoll() throws {
    let machine = try TestMachine { $0.latency = 80_000 }
    let device = try machine.openDevice()
    let driver = BlockDriver(device, machine.time)
    machine.time.pass(5_000_000_000)
    // The emulated controller's time advances when it is serviced.
    driver.poll()
    #expect(driver.run(.read, block: 0, count: 1, frames: [0]) == 0)
    let median = device.latency.quantile(0.5)
    #expect(device.latency.count == 1 && (80_000...110_000).contains(median))
    device.close()
  }
}
