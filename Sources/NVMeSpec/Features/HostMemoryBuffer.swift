/// A part of the memory that a host lends to a controller: a Host Memory Buffer Descriptor Entry (Base 2.0,
/// section 5.27.1.10).
public struct HostMemoryDescriptor: BitwiseCopyable, Hashable, Sendable {
  /// BADD: the address, a multiple of the memory page size.
  public var address: UInt64
  /// BSIZE: the size in memory pages.
  public var pages: UInt32
  private var reserved: UInt32 = 0

  /// The size of a descriptor in bytes.
  public static let size = 16

  public init(address: UInt64, pages: UInt32) {
    self.address = address
    self.pages = pages
  }
}

/// The data of Get Features, Host Memory Buffer, 4096 bytes: the Host Memory Buffer Attributes (Base 2.0,
/// section 5.27.1.10).
public struct HostMemoryAttributes: Hashable, Sendable {
  /// The size of the structure in bytes.
  public static let size = 4096

  /// HSIZE: the size of the memory in memory pages.
  public var pages: UInt32 = 0
  /// HMDLAL and HMDLAU: the address of the descriptor list.
  public var list: UInt64 = 0
  /// HMDLEC: the descriptors in it.
  public var count: UInt32 = 0

  public init() {}

  /// Reads the structure; what a short buffer lacks reads as zero.
  public init(decoding data: UnsafeRawBufferPointer) {
    pages = data.value(at: 0)
    list = data.value(at: 4)
    count = data.value(at: 12)
  }

  /// Writes the structure over a zeroed buffer; what does not fit is left out.
  public func encode(into data: UnsafeMutableRawBufferPointer) {
    data.clear()
    data.put(pages, at: 0)
    data.put(list, at: 4)
    data.put(count, at: 12)
  }
}

extension SubmissionEntry {
  /// Set Features, Host Memory Buffer: lends memory (EHM).
  /// - Parameters:
  ///   - pages: its size in memory pages.
  ///   - list: the address of the descriptor list, a multiple of 16.
  ///   - count: the descriptors in it.
  ///   - isReturned: whether the controller has had the same memory before and its contents are as it left
  ///     them (MR).
  public init(enableHostMemory pages: UInt32, list: UInt64, count: UInt32, isReturned: Bool) {
    self.init(setFeature: .hostMemoryBuffer, value: isReturned ? 3 : 1)
    cdw12 = pages
    cdw13 = UInt32(truncatingIfNeeded: list)
    cdw14 = UInt32(truncatingIfNeeded: list >> 32)
    cdw15 = count
  }

  /// Set Features, Host Memory Buffer: takes it back (EHM cleared).
  public static var disableHostMemory: SubmissionEntry {
    SubmissionEntry(setFeature: .hostMemoryBuffer, value: 0)
  }

  /// EHM and MR, HSIZE, the list's address and its length, of Set Features, Host Memory Buffer.
  public var hostMemory: (isEnabled: Bool, isReturned: Bool, pages: UInt32, list: UInt64, count: UInt32) {
    (cdw11.flag(0), cdw11.flag(1), cdw12, UInt64(cdw14) << 32 | UInt64(cdw13), cdw15)
  }
}
