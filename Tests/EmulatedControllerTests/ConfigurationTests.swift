import EmulatedController
import Testing

@Suite("Options of a device's name")
struct ConfigurationTests {
  private typealias Configuration = EmulatedController.Configuration

  @Test("every option is read in its unit")
  func options() throws {
    let configuration = try Configuration(
      image: "/a",
      options: [
        ("block", "512"), ("latency", "80us"), ("iops", "500k"), ("bandwidth", "2g"), ("mdts", "5"),
        ("queues", "4"), ("depth", "256"), ("vwc", "0"), ("sgl", "0"), ("serial", "S1"), ("namespace", "/b"),
        ("wp", "1"),
      ])
    #expect(configuration.latency == 80_000)
    #expect(configuration.commandsPerSecond == 500_000)
    #expect(configuration.bytesPerSecond == 2 << 30)
    #expect(configuration.maximumTransfer == 5)
    #expect(configuration.queuePairs == 4 && configuration.queueDepth == 256)
    #expect(!configuration.volatileWriteCache && !configuration.sgl)
    #expect(configuration.serialNumber == "S1")
    #expect(configuration.namespaces.map(\.blockSize) == [512, 512])
    #expect(configuration.namespaces.map(\.isWriteProtected) == [true, true])
  }

  @Test("the error of an unknown option names it and lists the known ones")
  func unknown() {
    let error = #expect(throws: ConfigurationError.self) {
      try Configuration(image: "/a", options: [("latncy", "1us")])
    }
    #expect(error?.description.contains("latncy") == true)
    for (key, _) in Configuration.optionForms { #expect(error?.description.contains(key) == true) }
  }

  @Test(
    "invalid values are refused, naming the option",
    arguments: [
      ("latency", "80"), ("latency", "us"), ("latency", "99999999999999s"), ("iops", "-1"), ("iops", "k"),
      ("bandwidth", "99999999999999999g"), ("block", "1024"), ("depth", "1"), ("depth", "70000"),
      ("queues", "0"), ("mdts", "17"), ("vwc", "yes"), ("serial", ""),
      ("serial", "way too long for a serial"),
      ("namespace", ""),
    ])
  func nonsense(key: String, value: String) {
    let error = #expect(throws: ConfigurationError.self) {
      try Configuration(image: "/a", options: [(key, value)])
    }
    #expect(error?.description.contains(key) == true, "\(error?.description ?? "")")
  }
}
