import NVMeSpec
import Testing

@Suite("Registers")
struct RegisterTests {
  @Test("fields of CAP and CC are at the specification's bits")
  func fields() {
    var capabilities = ControllerCapabilities(rawValue: 0)
    capabilities.maximumQueueEntries = 1023
    capabilities.contiguousQueuesRequired = true
    capabilities.timeout = 20
    capabilities.doorbellStride = 2
    capabilities.nvmCommandSet = true
    capabilities.maximumPageSize = 4
    #expect(capabilities.rawValue == 0x0040_0022_1401_03ff)
    #expect(capabilities.queueEntryLimit == 1024)
    #expect(capabilities.timeoutNanoseconds == 10_000_000_000)

    var configuration = ControllerConfiguration(rawValue: 0)
    configuration.enabled = true
    configuration.submissionEntrySize = 6
    configuration.completionEntrySize = 4
    configuration.shutdown = .normal
    #expect(configuration.rawValue == 0x0046_4001)
  }

  @Test("the longer of TO and CRTO bounds the wait for ready")
  func readyTimeout() {
    var capabilities = ControllerCapabilities(rawValue: 0)
    capabilities.timeout = 2
    var timeouts = ReadyTimeouts(rawValue: 0)
    timeouts.withMedia = 10
    #expect(capabilities.readyTimeout(timeouts) == 1_000_000_000)
    capabilities.readyWithMedia = true
    #expect(capabilities.readyTimeout(timeouts) == 5_000_000_000)
  }

  @Test("doorbells are spaced by the stride")
  func doorbells() {
    #expect(Doorbell.submissionTail(queue: 0, stride: 0) == 0x1000)
    #expect(Doorbell.completionHead(queue: 0, stride: 0) == 0x1004)
    #expect(Doorbell.submissionTail(queue: 3, stride: 0) == 0x1018)
    #expect(Doorbell.completionHead(queue: 1, stride: 2) == 0x1030)
    #expect(Doorbell.windowSize(queues: 2, stride: 0) == 0x1010)
    #expect(Doorbell.submissionTail(queue: .max, stride: 0xff) > 0)
  }

  @Test("the memory buffer's offset counts in its size's units")
  func memoryBuffer() {
    let size = MemoryBufferSize(rawValue: 2 << 12 | 1 << 8 | 1)
    let location = MemoryBufferLocation(rawValue: 3 << 12 | 2)
    #expect(size.size == 131_072)
    #expect(size.byteOffset(location) == 3 * 65_536)
    #expect(location.bar == 2)
    #expect(MemoryBufferSize(rawValue: 1 << 12 | 7 << 8).size == 0)
    #expect(MemoryBufferSize(rawValue: 0).byteOffset(location) == nil)
  }

  @Test("all ones means that the function is gone")
  func gone() {
    #expect(ControllerStatus(rawValue: .max).isGone)
    #expect(!ControllerStatus(rawValue: 1).isGone)
  }

  @Test("PRP list pages chain by their last entry")
  func listPages() {
    #expect(PRP.listPages(entries: 0, pageSize: 4096) == 0)
    #expect(PRP.listPages(entries: 1, pageSize: 4096) == 1)
    #expect(PRP.listPages(entries: 512, pageSize: 4096) == 1)
    #expect(PRP.listPages(entries: 513, pageSize: 4096) == 2)
    #expect(PRP.listPages(entries: 1023, pageSize: 4096) == 2)
    #expect(PRP.listPages(entries: 1024, pageSize: 4096) == 3)
    #expect(PRP.pages(offset: 4, length: 4096, pageSize: 4096) == 2)
  }
}
