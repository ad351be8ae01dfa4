import NVMeSpec

extension EmulatedController {
  /// The configuration of an emulated controller. The defaults describe a plain, fast device.
  public struct Configuration: Sendable {
    /// How the controller executes its work.
    public enum Mode: Sendable {
      /// Single-threaded and deterministic: everything runs in the caller's thread, blocking or not, and time
      /// is the last argument of `service(now:)`.
      case stepped
      /// As a device for a running filesystem: what may block runs in worker threads, and time is the
      /// monotonic clock.
      case inService
    }

    public var mode = Mode.inService
    /// Namespaces 1, 2, …, in order.
    public var namespaces: [Namespace] = []
    /// The serial number, at most 20 ASCII characters; empty for one derived from the first namespace's
    /// medium.
    public var serialNumber = ""
    /// The model number in Identify Controller, 40 characters at most.
    public var modelNumber = "Varve emulated NVMe controller"
    /// MDTS: the most data of one command, `1 << value` pages of 4 KiB; 0 for no limit.
    public var maximumTransfer: UInt8 = 8
    /// I/O queue pairs, 1...1024.
    public var queuePairs = 16
    /// Entries of the largest queue, 2...65,536.
    public var queueDepth = 1024
    /// CAP.DSTRD, 0...8.
    public var doorbellStride: UInt8 = 0
    /// The critical warning of the SMART log.
    public var criticalWarning: UInt8 = 0
    /// Whether there is a volatile write cache; without one every write is durable when it completes.
    public var volatileWriteCache = true
    /// ONCS: the I/O commands offered beside Read, Write and Flush.
    public var ioCommands: OptionalIOCommands = [
      .compare, .datasetManagement, .writeZeroes, .saveFeatures, .timestamp, .verify,
    ]
    /// Whether I/O commands may use SGLs.
    public var sgl = true
    /// The preferred size of the host memory buffer (HMPRE) in bytes; the minimum (HMMIN) is half of it.
    public var hostMemory = 0
    /// The size of the controller memory buffer (CMB), in which submission queues may lie, in bytes; whole
    /// pages of 4 KiB.
    public var memoryBuffer = 0
    /// Whether shadow doorbells in the host's memory are offered (Doorbell Buffer Config).
    public var shadowDoorbells = false
    /// Whether writes are recorded, so that crash states can be rebuilt and `cutPower` can drop unflushed
    /// writes.
    public var records = false
    /// How long every I/O command takes, in nanoseconds, however many run at a time.
    public var latency: UInt64 = 0
    /// I/O commands a second at most, 0 for no limit.
    public var commandsPerSecond: UInt64 = 0
    /// Bytes a second at most, 0 for no limit.
    public var bytesPerSecond: UInt64 = 0
    /// CRDT1, CRDT2, CRDT3 in units of 100 ms.
    public var retryDelays: (UInt16, UInt16, UInt16) = (1, 2, 3)

    public init(namespaces: [Namespace] = []) { self.namespaces = namespaces }
  }

  /// A namespace of a configuration.
  public struct Namespace: Sendable {
    /// What holds its blocks.
    public enum Medium: Sendable {
      /// Memory of this many bytes, zeros at first, freed with the controller.
      case memory(bytes: Int)
      /// Memory that holds the contents of a sparse image at first.
      case contents(SparseImage)
      /// An existing regular file, whose size is the namespace's.
      case image(path: String)
    }

    public var medium: Medium
    /// The size of a logical block in bytes: 512 or 4096.
    public var blockSize: Int
    /// Metadata of a logical block in bytes: 0, 8, 16 or 64. The medium holds it behind the last block.
    public var metadataSize = 0
    /// The type of protection information, 0...3; 0 for none, which it must be without metadata. The type
    /// that Format NVM has given an image takes precedence.
    public var protectionType: UInt8 = 0
    /// Whether the namespace is write protected. It is so too when its image file may not be written.
    public var isWriteProtected = false

    public init(_ medium: Medium, blockSize: Int = 4096) {
      self.medium = medium
      self.blockSize = blockSize
    }
  }
}

extension EmulatedController.Configuration {
  /// Refuses values that no controller can have.
  func check() throws(ConfigurationError) {
    if namespaces.isEmpty { throw ConfigurationError("an emulated controller needs a namespace") }
    for namespace in namespaces where namespace.blockSize != 512 && namespace.blockSize != 4096 {
      throw ConfigurationError("block size \(namespace.blockSize) is neither 512 nor 4096")
    }
    for namespace in namespaces {
      guard [0, 8, 16, 64].contains(namespace.metadataSize) else {
        throw ConfigurationError("metadata size \(namespace.metadataSize) is none of 0, 8, 16 and 64")
      }
      guard namespace.protectionType <= 3, namespace.protectionType == 0 || namespace.metadataSize > 0 else {
        throw ConfigurationError(
          "protection type \(namespace.protectionType) needs metadata (ms=8) and is at most 3")
      }
      if namespace.metadataSize > 0, records {
        throw ConfigurationError("a recording holds no metadata")
      }
    }
    try require(hostMemory, in: 0...1 << 30, "hmb")
    try require(memoryBuffer, in: 0...1 << 30, "cmb")
    if memoryBuffer % 4096 != 0 { throw ConfigurationError("cmb \(memoryBuffer) is not a multiple of 4096") }
    try require(queuePairs, in: 1...1024, "queues")
    try require(queueDepth, in: 2...65_536, "depth")
    try require(Int(doorbellStride), in: 0...8, "doorbell stride")
    try require(Int(maximumTransfer), in: 0...16, "mdts")
  }

  private func require(_ value: Int, in range: ClosedRange<Int>, _ name: String) throws(ConfigurationError) {
    guard range.contains(value) else {
      throw ConfigurationError("\(name) \(value) is not in \(range.lowerBound)...\(range.upperBound)")
    }
  }
}

/// Why a configuration is invalid.
public struct ConfigurationError: Error, CustomStringConvertible, Sendable {
  public let description: String

  public init(_ description: String) { self.description = description }
}
