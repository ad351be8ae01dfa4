import NVMeSpec

/// What is fuzzed: code that takes in what a device, or a host, may have made up.
public enum FuzzTarget: String, CaseIterable, Sendable {
  /// The driver, by completions of any content.
  case completions
  /// The driver, by registers of any value.
  case registers
  /// The driver, by identify data, log pages, feature values and events of any content.
  case identify
  /// The driver, by all of these at once.
  case driver
  /// The specification's structures, by any bytes.
  case structures
  /// The emulated controller, by a host that does anything.
  case host

  /// Runs it once. What must not happen traps, so that a fuzzer sees it.
  public func run(_ input: UnsafeRawBufferPointer) {
    run(Doubt(input), input)
  }

  /// Runs it once on what follows from a seed.
  public func run(seed: UInt64) {
    var doubt = Doubt(seed: seed)
    let bytes = (0..<4096).map { _ in UInt8(truncatingIfNeeded: doubt.bits()) }
    bytes.withUnsafeBytes { bytes in
      let length = Int(seed % 4096)
      run(UnsafeRawBufferPointer(rebasing: bytes[..<length]))
    }
  }

  private func run(_ doubt: Doubt, _ input: UnsafeRawBufferPointer) {
    switch self {
    case .completions: work(doubt, HostileController.Honesty(completions: 12))
    case .registers: work(doubt, HostileController.Honesty(registers: 14))
    case .identify: work(doubt, HostileController.Honesty(data: 8))
    case .driver: work(doubt, HostileController.Honesty(registers: 15, data: 14, completions: 14))
    case .structures: Self.decode(input)
    case .host:
      do {
        _ = try HostWork(doubt)
      } catch {
        fatalError("the controller cannot be made: \(error)")
      }
    }
  }

  private func work(_ doubt: Doubt, _ honesty: HostileController.Honesty) {
    let work = DriverWork(HostileController(doubt, honesty))
    if let complaint = work.complaint { fatalError(complaint) }
  }

  private static func decode(_ input: UnsafeRawBufferPointer) {
    let controller = IdentifyController(decoding: input)
    _ = (controller.hasVolatileWriteCache, controller.maximumTransferBytes(minimumPageSize: 15))
    for delay in UInt8(0)...3 { _ = controller.retryDelayNanoseconds(delay) }
    let namespace = IdentifyNamespace(decoding: input)
    _ = (namespace.format, namespace.formats.map(\.blockSize))
    _ = NamespaceDescriptor.decodeList(input)
    _ = NamespaceList(decoding: input)
    _ = (SMARTLog(decoding: input), ErrorLogEntry(decoding: input).status.description)
    _ = (FirmwareSlotLog(decoding: input), CommandEffectsLog(decoding: input))
    _ = (SupportedLogPages(decoding: input), ChangedNamespaceLog(decoding: input))
    _ = HostBehavior(decoding: input)
    let page = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 16)
    defer { page.deallocate() }
    // What was decoded can be written, and reads back as it was.
    controller.encode(into: page)
    precondition(
      IdentifyController(decoding: UnsafeRawBufferPointer(page)).serialNumber == controller.serialNumber)
    namespace.encode(into: page)
    SMARTLog(decoding: input).encode(into: page)
    precondition(SMARTLog(decoding: UnsafeRawBufferPointer(page)) == SMARTLog(decoding: input))
  }
}
