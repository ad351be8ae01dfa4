import PCIHost
import Testing

@Suite struct FunctionAddressTests {
  @Test func readsWhatLinuxWrites() throws {
    let address = try #require(FunctionAddress("0000:3f:1c.7"))
    #expect(address == FunctionAddress(domain: 0, bus: 0x3f, device: 0x1c, function: 7))
    #expect(address.description == "0000:3f:1c.7")
  }

  @Test func takesTheDomainAsZeroWhereItIsLeftOut() {
    #expect(FunctionAddress("01:00.0")?.description == "0000:01:00.0")
  }

  @Test func readsDomainsOfMoreThan16Bits() {
    #expect(FunctionAddress("10000:E1:00.0")?.description == "10000:e1:00.0")
  }

  @Test(arguments: [
    "", ":", "1", "0000:01:00", "0000:01:20.0", "0000:01:00.8", "0000:100:00.0", "x:01:00.0", "0000:01:00.0 ",
    "+1:00:00.0", "0:0000:01:00.0", "0000:01:.0", "0000:01:00.", "000000000:01:00.0", "0000:01:00.0.0",
  ]) func refuses(_ text: String) {
    #expect(FunctionAddress(text) == nil)
  }

  @Test func readsBackEveryAddressItWrites() {
    for domain in [0, 1, 0xffff, 0x10000, UInt32.max] {
      for (bus, device) in [(0, 0), (1, 31), (255, 16)] as [(UInt8, UInt8)] {
        let address = FunctionAddress(domain: domain, bus: bus, device: device, function: 7)
        #expect(address.map { FunctionAddress($0.description) } == address)
      }
    }
  }
}
