/// Identify Controller (Base 2.0, section 5.17.2.1; NVM Command Set 1.0, section 4.1.5.3).
public struct IdentifyController: Hashable, Sendable {
  /// VID: the PCI vendor.
  public var vendor: UInt16 = 0
  /// SSVID: the PCI subsystem vendor.
  public var subsystemVendor: UInt16 = 0
  /// SN: serial number, at most 20 ASCII characters.
  public var serialNumber = ""
  /// MN: model number, at most 40 ASCII characters.
  public var modelNumber = ""
  /// FR: firmware revision, at most 8 ASCII characters.
  public var firmwareRevision = ""
  /// RAB: recommended arbitration burst, `1 << value` commands.
  public var arbitrationBurst: UInt8 = 0
  /// IEEE: the vendor's OUI, 24 bits.
  public var organization: UInt32 = 0
  /// CMIC: multi-path capabilities.
  public var multipath: UInt8 = 0
  /// MDTS: the most data of one command, `1 << value` pages of CAP.MPSMIN; 0 for no limit.
  public var maximumTransfer: UInt8 = 0
  /// CNTLID: the controller within its subsystem.
  public var controllerIdentifier: UInt16 = 0
  /// VER: as the VS register.
  public var version = Version(rawValue: 0)
  /// RTD3E: how long an orderly shutdown may take, in microseconds; 0 when not reported.
  public var shutdownLatency: UInt32 = 0
  /// OAES: optional asynchronous events.
  public var asynchronousEvents: UInt32 = 0
  /// CTRATT: controller attributes.
  public var attributes: UInt32 = 0
  /// CNTRLTYPE: 1 I/O, 2 discovery, 3 administrative, 0 not reported.
  public var controllerType: UInt8 = 0
  /// CRDT1, CRDT2, CRDT3: what a status' CRD of 1, 2, 3 stands for, in units of 100 ms.
  public var retryDelays: (UInt16, UInt16, UInt16) {
    get { (retryDelay1, retryDelay2, retryDelay3) }
    set { (retryDelay1, retryDelay2, retryDelay3) = newValue }
  }
  private var retryDelay1: UInt16 = 0
  private var retryDelay2: UInt16 = 0
  private var retryDelay3: UInt16 = 0
  /// OACS: optional admin commands.
  public var adminCommands = OptionalAdminCommands()
  /// ACL, 0's based: Abort commands that may be outstanding, less one.
  public var abortLimit: UInt8 = 0
  /// AERL, 0's based: Asynchronous Event Requests that may be outstanding, less one.
  public var asynchronousEventLimit: UInt8 = 0
  /// FRMW: firmware slots and their properties.
  public var firmwareUpdates: UInt8 = 0
  /// LPA: log page attributes.
  public var logPageAttributes: UInt8 = 0
  /// ELPE, 0's based: entries of the error log, less one.
  public var errorLogEntries: UInt8 = 0
  /// WCTEMP: the warning temperature, in kelvin.
  public var warningTemperature: UInt16 = 0
  /// CCTEMP: the critical temperature, in kelvin.
  public var criticalTemperature: UInt16 = 0
  /// MTFA: how long a firmware activation may pause the controller, in units of 100 ms; 0 when not reported.
  public var firmwareActivationTime: UInt16 = 0
  /// HMPRE: the preferred size of the host memory buffer, in 4 KiB; 0 for none.
  public var preferredHostMemory: UInt32 = 0
  /// HMMIN: its minimum size, in 4 KiB.
  public var minimumHostMemory: UInt32 = 0
  /// HMMAXD: the most descriptors of it that the controller can use; 0 for no limit.
  public var hostMemoryDescriptorLimit: UInt16 = 0
  /// TNVMCAP: total capacity in bytes, 0 when not reported.
  public var totalCapacity: UInt128 = 0
  /// UNVMCAP: capacity in no namespace, in bytes.
  public var unallocatedCapacity: UInt128 = 0
  /// SQES: submission entry sizes, required in the low and largest in the high four bits, as exponents.
  public var submissionEntrySizes: UInt8 = 0
  /// CQES: completion entry sizes, required in the low and largest in the high four bits, as exponents.
  public var completionEntrySizes: UInt8 = 0
  /// MAXCMD: the most commands outstanding on one queue, 0 when not reported.
  public var maximumCommands: UInt16 = 0
  /// NN: the highest namespace identifier.
  public var namespaceCount: UInt32 = 0
  /// ONCS: optional I/O commands.
  public var ioCommands = OptionalIOCommands()
  /// FUSES: fused operations.
  public var fusedOperations: UInt16 = 0
  /// FNA: whether a format or an erase of one namespace affects all.
  public var formatAttributes: UInt8 = 0
  /// VWC: bit 0 for a volatile write cache, bits 2:1 for the behaviour of Flush with NSID FFFFFFFFh.
  public var volatileWriteCache: UInt8 = 0
  /// AWUN, 0's based: logical blocks written atomically in normal operation, less one.
  public var atomicWriteUnitNormal: UInt16 = 0
  /// AWUPF, 0's based: logical blocks written atomically across a power failure, less one.
  public var atomicWriteUnitPowerFail: UInt16 = 0
  /// ACWU, 0's based: logical blocks of an atomic compare and write, less one.
  public var atomicCompareAndWriteUnit: UInt16 = 0
  /// SGLS: SGL support.
  public var sgl = SGLSupport(rawValue: 0)
  /// SUBNQN: the subsystem's qualified name.
  public var subsystemName = ""

  public init() {}

  /// Whether the controller has a volatile write cache.
  public var hasVolatileWriteCache: Bool { volatileWriteCache & 1 != 0 }

  /// The most data of one command in bytes, nil for no limit; `minimumPageSize` is CAP.MPSMIN.
  public func maximumTransferBytes(minimumPageSize: UInt8) -> UInt64? {
    guard maximumTransfer != 0 else { return nil }
    // A limit of 2^62 bytes or more has no effect, and a hostile value must not shift out of range.
    return 1 << UInt64(min(Int(maximumTransfer) + 12 + Int(minimumPageSize & 0xf), 62))
  }

  /// How long to wait before a retry whose status says `retryDelay` (CRD), in nanoseconds.
  public func retryDelayNanoseconds(_ retryDelay: UInt8) -> UInt64 {
    let units =
      switch retryDelay {
      case 1: retryDelay1
      case 2: retryDelay2
      case 3: retryDelay3
      default: UInt16(0)
      }
    return UInt64(units) * 100_000_000
  }
}

extension IdentifyController {
  /// Reads the structure; what a short buffer lacks reads as zero.
  public init(decoding data: UnsafeRawBufferPointer) {
    vendor = data.value(at: 0)
    subsystemVendor = data.value(at: 2)
    serialNumber = data.text(at: 4, count: 20)
    modelNumber = data.text(at: 24, count: 40)
    firmwareRevision = data.text(at: 64, count: 8)
    arbitrationBurst = data.value(at: 72)
    organization = data.value(at: 73, as: UInt32.self) & 0xff_ffff
    multipath = data.value(at: 76)
    maximumTransfer = data.value(at: 77)
    controllerIdentifier = data.value(at: 78)
    version = Version(rawValue: data.value(at: 80))
    shutdownLatency = data.value(at: 88)
    asynchronousEvents = data.value(at: 92)
    attributes = data.value(at: 96)
    controllerType = data.value(at: 111)
    retryDelays = (data.value(at: 128), data.value(at: 130), data.value(at: 132))
    adminCommands = OptionalAdminCommands(rawValue: data.value(at: 256))
    abortLimit = data.value(at: 258)
    asynchronousEventLimit = data.value(at: 259)
    firmwareUpdates = data.value(at: 260)
    logPageAttributes = data.value(at: 261)
    errorLogEntries = data.value(at: 262)
    warningTemperature = data.value(at: 266)
    criticalTemperature = data.value(at: 268)
    firmwareActivationTime = data.value(at: 270)
    preferredHostMemory = data.value(at: 272)
    minimumHostMemory = data.value(at: 276)
    totalCapacity = data.value(at: 280)
    unallocatedCapacity = data.value(at: 296)
    hostMemoryDescriptorLimit = data.value(at: 336)
    submissionEntrySizes = data.value(at: 512)
    completionEntrySizes = data.value(at: 513)
    maximumCommands = data.value(at: 514)
    namespaceCount = data.value(at: 516)
    ioCommands = OptionalIOCommands(rawValue: data.value(at: 520))
    fusedOperations = data.value(at: 522)
    formatAttributes = data.value(at: 524)
    volatileWriteCache = data.value(at: 525)
    atomicWriteUnitNormal = data.value(at: 526)
    atomicWriteUnitPowerFail = data.value(at: 528)
    atomicCompareAndWriteUnit = data.value(at: 532)
    sgl = SGLSupport(rawValue: data.value(at: 536))
    subsystemName = data.text(at: 768, count: 256)
  }

  /// Writes the structure over a zeroed buffer; what does not fit is left out.
  public func encode(into data: UnsafeMutableRawBufferPointer) {
    data.clear()
    data.put(vendor, at: 0)
    data.put(subsystemVendor, at: 2)
    data.put(text: serialNumber, at: 4, count: 20)
    data.put(text: modelNumber, at: 24, count: 40)
    data.put(text: firmwareRevision, at: 64, count: 8)
    data.put(arbitrationBurst, at: 72)
    data.put(bytes: (0..<3).map { UInt8(truncatingIfNeeded: organization >> (8 * $0)) }, at: 73)
    data.put(multipath, at: 76)
    data.put(maximumTransfer, at: 77)
    data.put(controllerIdentifier, at: 78)
    data.put(version.rawValue, at: 80)
    data.put(shutdownLatency, at: 88)
    data.put(asynchronousEvents, at: 92)
    data.put(attributes, at: 96)
    data.put(controllerType, at: 111)
    data.put(retryDelay1, at: 128)
    data.put(retryDelay2, at: 130)
    data.put(retryDelay3, at: 132)
    data.put(adminCommands.rawValue, at: 256)
    data.put(abortLimit, at: 258)
    data.put(asynchronousEventLimit, at: 259)
    data.put(firmwareUpdates, at: 260)
    data.put(logPageAttributes, at: 261)
    data.put(errorLogEntries, at: 262)
    data.put(warningTemperature, at: 266)
    data.put(criticalTemperature, at: 268)
    data.put(firmwareActivationTime, at: 270)
    data.put(preferredHostMemory, at: 272)
    data.put(minimumHostMemory, at: 276)
    data.put(totalCapacity, at: 280)
    data.put(unallocatedCapacity, at: 296)
    data.put(hostMemoryDescriptorLimit, at: 336)
    data.put(submissionEntrySizes, at: 512)
    data.put(completionEntrySizes, at: 513)
    data.put(maximumCommands, at: 514)
    data.put(namespaceCount, at: 516)
    data.put(ioCommands.rawValue, at: 520)
    data.put(fusedOperations, at: 522)
    data.put(formatAttributes, at: 524)
    data.put(volatileWriteCache, at: 525)
    data.put(atomicWriteUnitNormal, at: 526)
    data.put(atomicWriteUnitPowerFail, at: 528)
    data.put(atomicCompareAndWriteUnit, at: 532)
    data.put(sgl.rawValue, at: 536)
    data.put(text: subsystemName, at: 768, count: 256, padding: 0)
  }
}
