import DriverTestSupport
import EmulatedController
import Glibc
@testable import NVMe
import NVMeSpec
import PCI
import TestSupport
import Testing

@testable import Block

/// Verify and Compare.
@Suite struct CheckTests {
  private static let blocks = 256

  /// A device on which requests are split in many ways.
  private func open(
    _ configure: (inout EmulatedController.Configuration) -> Void
  ) throws -> (TestMachine, NamespaceDevice, SynchronousDevice) {
    let machine = try TestMachine(blocks: Self.blocks) {
      $0.maximumTransfer = 3
      configure(&$0)
    }
    // Real time: waits use the system's clock.
    machine.options.time = .system
    let device = try machine.openDevice()
    return (machine, device, SynchronousDevice(device))
  }

  private static let formats: [(Int, Int, UInt8)] = [
    (4096, 0, 0), (512, 0, 0), (4096, 8, 1), (512, 8, 2), (4096, 64, 3), (512, 16, 0),
  ]

  @Test(arguments: formats) func compareFindsDifferences(_ format: (lba: Int, metadata: Int, type: UInt8))
    throws
  {
    let (_, device, driver) = try open {
      $0.namespaces[0].blockSize = format.lba
      $0.namespaces[0].metadataSize = format.metadata
      $0.namespaces[0].protectionType = format.type
    }
    var random = SplitMix(seed: UInt64(format.lba + format.metadata))
    #expect(device.canCompare && device.canVerify)
    for _ in 0..<30 {
      let count = Int.random(in: 1...40, using: &random)
      let block = UInt64.random(in: 0...UInt64(device.blockCount) - UInt64(count), using: &random)
      var bytes = (0..<count * 4096).map { _ in UInt8.random(in: 0...255, using: &random) }
      try driver.write(block: block, bytes)
      #expect(try driver.compare(block: block, bytes))
      try driver.verify(block: block, count: UInt64(count))
      bytes[Int.random(in: bytes.indices, using: &random)] ^= 1 << UInt8.random(in: 0...7, using: &random)
      #expect(try !driver.compare(block: block, bytes))
      #expect(device.errors.last?.status.code == .compareFailure && device.counters.retries == 0)
    }
    driver.close()
  }

  /// Verify finds a block that cannot be read, or has a wrong guard, without transferring it.
  @Test(arguments: [StatusCode.unrecoveredReadError, .guardCheckError]) func verifyFindsABadBlock(
    _ code: StatusCode
  ) throws {
    let (machine, _, driver) = try open { $0.namespaces[0].blockSize = 4096 }
    machine.device.faultRules = [
      FaultRule(io: .verify, blocks: 77..<78, .status(Status(code, doNotRetry: true)))
    ]
    try driver.verify(block: 0, count: 77)
    try driver.verify(block: 78, count: 256 - 78)
    let error = #expect(throws: BlockDeviceError.self) { try driver.verify(block: 0, count: 256) }
    #expect(error?.errno == (code == .guardCheckError ? EILSEQ : ENODATA))
    // An error is not a difference.
    machine.device.faultRules = [FaultRule(io: .compare, .status(Status(code, doNotRetry: true)))]
    #expect(throws: BlockDeviceError.self) {
      try driver.compare(block: 77, [UInt8](repeating: 0, count: 4096))
    }
    driver.close()
  }

  @Test func limitsAreKept() {
    var identity = IdentifyController()
    identity.maximumTransfer = 5
    identity.ioCommands = [.verify]
    var capabilities = Capabilities(identity, minimumPageSize: 0, maximumFrames: 512)
    #expect(capabilities.canVerify && !capabilities.canCompare && capabilities.verifyFrames == 32)
    var limits = CommandSetLimits()
    limits.verify = 3
    capabilities.apply(limits, minimumPageSize: 1)
    var namespace = IdentifyNamespace()
    namespace.size = 1 << 20
    namespace.formats = [LBAFormat(exponent: 12)]
    #expect(capabilities.verifyLimits(for: Namespace(identifier: 1, identity: namespace)).maximum == 16)
  }

  @Test func unsupportedCompareIsRefusedAndVerifyReads() throws {
    let (machine, device, driver) = try open { $0.ioCommands = [] }
    #expect(!device.canVerify && !device.canCompare)
    let error = #expect(throws: BlockDeviceError.self) {
      try driver.compare(block: 0, [UInt8](repeating: 0, count: 4096))
    }
    #expect(error?.errno == EOPNOTSUPP)
    machine.device.faultRules = [
      FaultRule(io: .read, blocks: 9..<10, .status(Status(.unrecoveredReadError, doNotRetry: true)))
    ]
    try driver.verify(block: 0, count: 9)
    #expect(throws: BlockDeviceError.self) { try driver.verify(block: 9, count: 100) }
    driver.close()
  }
}
