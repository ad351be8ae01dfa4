import NVMeSpec
import TestSupport
import Testing

@Suite("Data structures")
struct StructureTests {
  /// Runs `body` over a zeroed buffer of `count` bytes.
  private func withBuffer<R>(_ count: Int, _ body: (UnsafeMutableRawBufferPointer) -> R) -> R {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: max(count, 1), alignment: 8)
    defer { buffer.deallocate() }
    buffer.initializeMemory(as: UInt8.self, repeating: 0)
    return body(UnsafeMutableRawBufferPointer(rebasing: buffer[..<count]))
  }

  @Test("Identify Controller reads back as written, at the specified offsets")
  func controller() {
    var identity = IdentifyController()
    identity.vendor = 0x1b36
    identity.serialNumber = "S1"
    identity.modelNumber = "A model"
    identity.firmwareRevision = "1.0"
    identity.organization = 0x12_3456
    identity.maximumTransfer = 5
    identity.version = Version(1, 4)
    identity.retryDelays = (1, 20, 300)
    identity.adminCommands = [.format]
    identity.namespaceCount = 4
    identity.ioCommands = [.datasetManagement, .writeZeroes]
    identity.volatileWriteCache = 1
    identity.totalCapacity = UInt128(1) << 70
    identity.subsystemName = "nqn.2024-01.example:x"
    withBuffer(4096) { data in
      identity.encode(into: data)
      #expect(data[77] == 5 && data[525] == 1 && data[516] == 4)
      #expect(data[4] == 0x53 && data[6] == 0x20)
      #expect(IdentifyController(decoding: UnsafeRawBufferPointer(data)) == identity)
    }
    #expect(identity.maximumTransferBytes(minimumPageSize: 0) == 131_072)
    #expect(identity.retryDelayNanoseconds(0) == 0)
    #expect(identity.retryDelayNanoseconds(3) == 30_000_000_000)
  }

  @Test("Identify Namespace reads back as written")
  func namespace() {
    var identity = IdentifyNamespace()
    identity.size = 1 << 40
    identity.capacity = 1 << 40
    identity.formats = [
      LBAFormat(exponent: 9), LBAFormat(exponent: 12), LBAFormat(exponent: 12, metadata: 8),
    ]
    identity.formattedSize = 1
    identity.deallocateFeatures = 9
    identity.nguid = Array(1...16)
    identity.eui64 = Array(1...8)
    withBuffer(4096) { data in
      identity.encode(into: data)
      #expect(data[25] == 2)
      #expect(IdentifyNamespace(decoding: UnsafeRawBufferPointer(data)) == identity)
    }
    #expect(identity.format?.blockSize == 4096)
    #expect(identity.deallocatedReadsZero && identity.writeZeroesDeallocates)
  }

  @Test("decoding and encoding never trap, whatever the data and its length", arguments: 0..<200)
  func hostile(seed: Int) {
    var generator = SplitMix(seed: UInt64(seed))
    let count = Bool.random(using: &generator) ? 4096 : Int.random(in: 0...600, using: &generator)
    withBuffer(count) { data in
      for index in 0..<count { data[index] = UInt8.random(in: .min ... .max, using: &generator) }
      let bytes = UnsafeRawBufferPointer(data)
      let controller = IdentifyController(decoding: bytes)
      let namespace = IdentifyNamespace(decoding: bytes)
      _ = controller.maximumTransferBytes(minimumPageSize: data.first ?? 0xff)
      _ = (namespace.format?.blockSize, namespace.formats.map(\.blockSize))
      let list = NamespaceList(decoding: bytes)
      #expect(zip(list.identifiers, list.identifiers.dropFirst()).allSatisfy { $0 < $1 })
      _ = NamespaceDescriptor.decodeList(bytes)
      let log = SMARTLog(decoding: bytes)
      let entry = ErrorLogEntry(decoding: bytes)
      let slots = FirmwareSlotLog(decoding: bytes)
      controller.encode(into: data)
      namespace.encode(into: data)
      list.encode(into: data)
      log.encode(into: data)
      entry.encode(into: data)
      slots.encode(into: data)
    }
  }

  @Test("lists read back as written")
  func lists() {
    withBuffer(4096) { data in
      let list = NamespaceList([1, 2, 7, 1000])
      list.encode(into: data)
      #expect(NamespaceList(decoding: UnsafeRawBufferPointer(data)) == list)
      let full = NamespaceList((1...1024).map { UInt32($0) })
      full.encode(into: data)
      #expect(NamespaceList(decoding: UnsafeRawBufferPointer(data)) == full)
      let descriptors = [
        NamespaceDescriptor(type: NamespaceDescriptor.eui64Type, value: Array(1...8)),
        NamespaceDescriptor(type: NamespaceDescriptor.uuidType, value: Array(1...16)),
      ]
      NamespaceDescriptor.encodeList(descriptors, into: data)
      #expect(NamespaceDescriptor.decodeList(UnsafeRawBufferPointer(data)) == descriptors)
    }
  }

  @Test("logs read back as written")
  func logs() {
    withBuffer(512) { data in
      var smart = SMARTLog()
      smart.temperature = 300
      smart.dataUnitsRead = UInt128(1) << 100
      smart.sensors = [1, 2, 3, 4, 5, 6, 7, 8]
      smart.encode(into: data)
      #expect(SMARTLog(decoding: UnsafeRawBufferPointer(data)) == smart)
      var error = ErrorLogEntry()
      error.count = 9
      error.status = Status(.writeFault, doNotRetry: true)
      error.block = 1 << 50
      error.encode(into: data)
      #expect(ErrorLogEntry(decoding: UnsafeRawBufferPointer(data)) == error)
      var slots = FirmwareSlotLog()
      slots.activeSlot = 1
      slots.revisions[0] = "1.2.3"
      slots.encode(into: data)
      #expect(FirmwareSlotLog(decoding: UnsafeRawBufferPointer(data)) == slots)
    }
  }
}
