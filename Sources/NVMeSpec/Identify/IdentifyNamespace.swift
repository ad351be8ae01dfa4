/// Identify Namespace (NVM Command Set 1.0, section 4.1.5.1).
public struct IdentifyNamespace: Hashable, Sendable {
  /// NSZE: the size in logical blocks.
  public var size: UInt64 = 0
  /// NCAP: logical blocks that may be allocated at one time.
  public var capacity: UInt64 = 0
  /// NUSE: logical blocks allocated now.
  public var utilization: UInt64 = 0
  /// NSFEAT: bit 0 thin provisioning, 1 own atomicity, 2 deallocated error, 4 the optimal I/O fields are
  /// valid.
  public var features: UInt8 = 0
  /// FLBAS: the format in use and the location of its metadata.
  public var formattedSize: UInt8 = 0
  /// MC: metadata capabilities.
  public var metadataCapabilities: UInt8 = 0
  /// DPC: protection information capabilities.
  public var protectionCapabilities: UInt8 = 0
  /// DPS: protection information in use.
  public var protectionSettings: UInt8 = 0
  /// NMIC: bit 0 when other controllers may have the namespace too.
  public var sharing: UInt8 = 0
  /// RESCAP: reservation capabilities.
  public var reservationCapabilities: UInt8 = 0
  /// DLFEAT: what deallocated blocks read as, and whether Write Zeroes may deallocate.
  public var deallocateFeatures: UInt8 = 0
  /// NAWUN, 0's based: logical blocks written atomically in normal operation, less one, where NSFEAT bit 1 is
  /// set.
  public var atomicWriteUnitNormal: UInt16 = 0
  /// NAWUPF, 0's based: logical blocks written atomically across a power failure, less one, where NSFEAT bit
  /// 1 is set.
  public var atomicWriteUnitPowerFail: UInt16 = 0
  /// NABSN, 0's based: atomic boundary in logical blocks, less one; 0 for none.
  public var atomicBoundaryNormal: UInt16 = 0
  /// NABSPF, 0's based: atomic boundary across a power failure in logical blocks, less one; 0 for none.
  public var atomicBoundaryPowerFail: UInt16 = 0
  /// NOIOB: the boundary I/O should not cross, in logical blocks; 0 for none.
  public var optimalBoundary: UInt16 = 0
  /// NVMCAP: the capacity in bytes, 0 when not reported.
  public var byteCapacity: UInt128 = 0
  /// NPWG, 0's based: preferred write granularity in logical blocks, less one, where NSFEAT bit 4 is set.
  public var preferredWriteGranularity: UInt16 = 0
  /// NPWA, 0's based: preferred write alignment in logical blocks, less one, where NSFEAT bit 4 is set.
  public var preferredWriteAlignment: UInt16 = 0
  /// NPDG, 0's based: preferred deallocate granularity in logical blocks, less one, where NSFEAT bit 4 is
  /// set.
  public var preferredDeallocateGranularity: UInt16 = 0
  /// NPDA, 0's based: preferred deallocate alignment in logical blocks, less one, where NSFEAT bit 4 is set.
  public var preferredDeallocateAlignment: UInt16 = 0
  /// NOWS, 0's based: optimal write size in logical blocks, less one, where NSFEAT bit 4 is set.
  public var optimalWriteSize: UInt16 = 0
  /// NSATTR: bit 0 when the namespace is write protected.
  public var attributes: UInt8 = 0
  /// NGUID, zeros when there is none, most significant byte first.
  public var nguid = [UInt8](repeating: 0, count: 16)
  /// EUI64, zeros when there is none, most significant byte first.
  public var eui64 = [UInt8](repeating: 0, count: 8)
  /// LBAF0...: the formats offered, 1 to 64.
  public var formats = [LBAFormat(rawValue: 0)]

  public init() {}

  /// Clears the identifiers.
  public mutating func forgetIdentifiers() {
    nguid = [UInt8](repeating: 0, count: 16)
    eui64 = [UInt8](repeating: 0, count: 8)
  }

  /// The index of the format in use.
  public var formatIndex: Int { Int(formattedSize & 0xf) | Int(formattedSize >> 5 & 0x3) << 4 }

  /// The format in use; nil when the index is out of range.
  public var format: LBAFormat? { formatIndex < formats.count ? formats[formatIndex] : nil }

  /// Whether metadata is interleaved with the data rather than in a separate buffer.
  public var extendedMetadata: Bool { formattedSize & 0x10 != 0 }

  /// DLFEAT bits 2:0 equal to 1: deallocated blocks read as zeros.
  public var deallocatedReadsZero: Bool { deallocateFeatures & 7 == 1 }

  /// DLFEAT bit 3: Write Zeroes with DEAC may deallocate.
  public var writeZeroesDeallocates: Bool { deallocateFeatures & 8 != 0 }
}

extension IdentifyNamespace {
  private static let formatTable = 128
  private static let formatLimit = 64

  /// Reads the structure; what a short buffer lacks reads as zero.
  public init(decoding data: UnsafeRawBufferPointer) {
    size = data.value(at: 0)
    capacity = data.value(at: 8)
    utilization = data.value(at: 16)
    features = data.value(at: 24)
    formattedSize = data.value(at: 26)
    metadataCapabilities = data.value(at: 27)
    protectionCapabilities = data.value(at: 28)
    protectionSettings = data.value(at: 29)
    sharing = data.value(at: 30)
    reservationCapabilities = data.value(at: 31)
    deallocateFeatures = data.value(at: 33)
    atomicWriteUnitNormal = data.value(at: 34)
    atomicWriteUnitPowerFail = data.value(at: 36)
    atomicBoundaryNormal = data.value(at: 40)
    atomicBoundaryPowerFail = data.value(at: 44)
    optimalBoundary = data.value(at: 46)
    byteCapacity = data.value(at: 48)
    preferredWriteGranularity = data.value(at: 64)
    preferredWriteAlignment = data.value(at: 66)
    preferredDeallocateGranularity = data.value(at: 68)
    preferredDeallocateAlignment = data.value(at: 70)
    optimalWriteSize = data.value(at: 72)
    attributes = data.value(at: 99)
    nguid = data.bytes(at: 104, count: 16)
    eui64 = data.bytes(at: 120, count: 8)
    let count = min(Int(data.value(at: 25, as: UInt8.self)) + 1, Self.formatLimit)
    formats = (0..<count).map { LBAFormat(rawValue: data.value(at: Self.formatTable + 4 * $0)) }
  }

  /// Writes the structure over a zeroed buffer; what does not fit is left out.
  public func encode(into data: UnsafeMutableRawBufferPointer) {
    data.clear()
    data.put(size, at: 0)
    data.put(capacity, at: 8)
    data.put(utilization, at: 16)
    data.put(features, at: 24)
    data.put(UInt8(truncatingIfNeeded: min(max(formats.count, 1), Self.formatLimit) - 1), at: 25)
    data.put(formattedSize, at: 26)
    data.put(metadataCapabilities, at: 27)
    data.put(protectionCapabilities, at: 28)
    data.put(protectionSettings, at: 29)
    data.put(sharing, at: 30)
    data.put(reservationCapabilities, at: 31)
    data.put(deallocateFeatures, at: 33)
    data.put(atomicWriteUnitNormal, at: 34)
    data.put(atomicWriteUnitPowerFail, at: 36)
    data.put(atomicBoundaryNormal, at: 40)
    data.put(atomicBoundaryPowerFail, at: 44)
    data.put(optimalBoundary, at: 46)
    data.put(byteCapacity, at: 48)
    data.put(preferredWriteGranularity, at: 64)
    data.put(preferredWriteAlignment, at: 66)
    data.put(preferredDeallocateGranularity, at: 68)
    data.put(preferredDeallocateAlignment, at: 70)
    data.put(optimalWriteSize, at: 72)
    data.put(attributes, at: 99)
    data.put(bytes: nguid.prefix(16), at: 104)
    data.put(bytes: eui64.prefix(8), at: 120)
    for (index, format) in formats.prefix(Self.formatLimit).enumerated() {
      data.put(format.rawValue, at: Self.formatTable + 4 * index)
    }
  }
}
