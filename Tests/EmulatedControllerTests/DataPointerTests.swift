import EmulatedController
import Glibc
import NVMeSpec
import TestSupport
import Testing

@Suite("Data pointers and the IOMMU")
struct DataPointerTests {
  @Test("PRP lists of every shape lead to the same data", arguments: 0..<24)
  func shapes(seed: Int) throws {
    var random = SplitMix(seed: UInt64(seed))
    let host = try TestHost.memory(bytes: 8 << 20, blockSize: 512) { $0.maximumTransfer = 0 }
    let queue = host.makeQueue()
    let count = Int.random(in: 1...(seed.isMultiple(of: 8) ? 6000 : 200), using: &random)
    let length = count * 512
    let data = random.pattern(length)
    // The data is in frames in random order, from a random dword of the first on.
    let offset = Int.random(in: 0..<1024, using: &random) * 4
    let frames = (0..<(offset + length + 4095) / 4096).map { _ in host.allocate() }.shuffled(using: &random)
    func spread(_ body: (Int, Int, Int) -> Void) {
      var done = 0
      for (index, frame) in frames.enumerated() {
        let start = index == 0 ? offset : 0
        let piece = min(4096 - start, length - done)
        body(Int(frame) * 4096 + start, done, piece)
        done += piece
      }
    }
    var entry = SubmissionEntry(.write, namespace: 1, block: 17, count: UInt32(count))
    entry.prp1 = host.arena.address(frames[0]) + UInt64(offset)
    let rest = frames.dropFirst().map { host.arena.address($0) }
    let room = Int.random(in: 1...512, using: &random)
    entry.prp2 = rest.count > 1 ? host.makeList(rest, room: room) : rest.first ?? 0
    spread { place, done, piece in
      data[done..<done + piece].withUnsafeBytes {
        (host.arena.base + place).copyMemory(from: $0.baseAddress!, byteCount: piece)
      }
    }
    #expect(host.status(entry, queue).isSuccess)
    spread { place, _, piece in
      (host.arena.base + place).initializeMemory(as: UInt8.self, repeating: 0, count: piece)
    }
    entry.opcode = IOOpcode.read.rawValue
    #expect(host.status(entry, queue).isSuccess)
    var same = true
    spread { place, done, piece in
      data[done..<done + piece].withUnsafeBytes {
        same = same && memcmp(host.arena.base + place, $0.baseAddress!, piece) == 0
      }
    }
    #expect(same)
    #expect(host.controller.dmaFaultCount == 0)
  }

  @Test("offsets are refused in entries that allow none")
  func offsets() throws {
    let host = try TestHost.memory()
    let queue = host.makeQueue()
    let (frame, list) = (host.arena.address(host.allocate(4)), host.arena.address(host.allocate()))
    func code(_ prp1: UInt64, _ prp2: UInt64, count: UInt32) -> StatusCode {
      var entry = SubmissionEntry(.read, namespace: 1, block: 0, count: count)
      (entry.prp1, entry.prp2) = (prp1, prp2)
      return host.status(entry, queue).code
    }
    #expect(code(frame + 2, 0, count: 1) == .invalidPRPOffset)
    #expect(code(frame, frame + 4096, count: 2) == .success)
    #expect(code(frame, frame + 4100, count: 2) == .invalidPRPOffset)
    #expect(code(frame, list + 4, count: 3) == .invalidPRPOffset)
    let entries = host.bytes(UInt32((list - host.arena.iova) / 4096), 4096)
    entries.storeBytes(of: frame + 4096, toByteOffset: 0, as: UInt64.self)
    entries.storeBytes(of: frame + 8192 + 512, toByteOffset: 8, as: UInt64.self)
    #expect(code(frame, list, count: 3) == .invalidPRPOffset)
    entries.storeBytes(of: frame + 8192, toByteOffset: 8, as: UInt64.self)
    #expect(code(frame, list, count: 3) == .success)
  }

  @Test("an access to unmapped memory is refused and recorded")
  func unmapped() throws {
    let host = try TestHost.memory(bytes: 1 << 20)
    let queue = host.makeQueue()
    let end = host.arena.iova + UInt64(host.arena.size)
    for address in [0, 4096, end, end - 4096 + 8, UInt64.max & ~4095, 1 << 63] {
      var entry = SubmissionEntry(.read, namespace: 1, block: 0, count: 2)
      entry.prp1 = address
      entry.prp2 = address &+ 4096
      let before = host.controller.dmaFaultCount
      let status = host.status(entry, queue)
      #expect(status.code == .dataTransferError || status.code == .invalidPRPOffset, "\(address)")
      #expect(host.controller.dmaFaultCount == before + (status.code == .dataTransferError ? 1 : 0))
    }
    #expect(host.controller.dmaFaults.contains { $0.isWrite && $0.address == 0 })
  }

  @Test("a PRP list in unmapped memory is refused")
  func unmappedList() throws {
    let host = try TestHost.memory()
    let queue = host.makeQueue()
    var entry = SubmissionEntry(.write, namespace: 1, block: 0, count: 5)
    entry.prp1 = host.arena.address(host.allocate())
    entry.prp2 = 0x1000
    #expect(host.status(entry, queue).code == .dataTransferError)
    let fault = try #require(host.controller.dmaFaults.last)
    #expect(fault.address == 0x1000 && fault.length == 32 && !fault.isWrite)
  }

  @Test("a list page that points to itself ends with the data")
  func circularList() throws {
    let host = try TestHost.memory(bytes: 64 << 20) { $0.maximumTransfer = 0 }
    let queue = host.makeQueue()
    let (frame, list) = (host.allocate(), host.allocate())
    let entries = host.bytes(list, 4096)
    for index in 0..<511 {
      entries.storeBytes(of: host.arena.address(frame), toByteOffset: 8 * index, as: UInt64.self)
    }
    entries.storeBytes(of: host.arena.address(list), toByteOffset: 8 * 511, as: UInt64.self)
    var entry = SubmissionEntry(.read, namespace: 1, block: 0, count: 5000)
    (entry.prp1, entry.prp2) = (host.arena.address(frame), host.arena.address(list))
    #expect(host.run(entry, queue) != nil)
  }

  @Test("one SGL data block, and a chain of segments, lead to the data")
  func sgl() throws {
    var random = SplitMix(seed: 3)
    let host = try TestHost.memory(bytes: 1 << 20)
    let queue = host.makeQueue()
    let (source, target, table) = (host.allocate(4), host.allocate(4), host.allocate(2))
    let data = random.pattern(16_384)
    host.bytes(source, 16_384).copyBytes(from: data)
    var write = SubmissionEntry(.write, namespace: 1, block: 0, count: 4)
    write.setSGL(address: host.arena.address(source), length: 16_384)
    #expect(host.status(write, queue).isSuccess)

    let base = host.arena.address(target)
    let segments = host.bytes(table, 8192)
    let descriptors = [
      SGLDescriptor.dataBlock(base, 100), .dataBlock(base + 100, 8000),
      SGLDescriptor(type: .lastSegment, address: host.arena.address(table + 1), length: 32),
    ]
    for (index, descriptor) in descriptors.enumerated() {
      segments.storeBytes(of: descriptor, toByteOffset: 16 * index, as: SGLDescriptor.self)
    }
    segments.storeBytes(of: .dataBlock(base + 8100, 284), toByteOffset: 4096, as: SGLDescriptor.self)
    segments.storeBytes(of: .dataBlock(base + 8384, 8000), toByteOffset: 4112, as: SGLDescriptor.self)
    var read = SubmissionEntry(.read, namespace: 1, block: 0, count: 4)
    read.setSGL(SGLDescriptor(type: .segment, address: host.arena.address(table), length: 48))
    #expect(host.status(read, queue).isSuccess)
    #expect(host.bytes(target, 16_384).elementsEqual(data))
  }

  @Test("SGLs too short, of unknown type or not offered are refused")
  func badSGL() throws {
    let host = try TestHost.memory()
    let queue = host.makeQueue()
    var entry = SubmissionEntry(.read, namespace: 1, block: 0, count: 2)
    entry.setSGL(address: host.arena.address(host.allocate(2)), length: 4096)
    #expect(host.status(entry, queue).code == .dataSGLLengthInvalid)
    entry.setSGL(SGLDescriptor(type: .init(rawValue: 9), address: 0, length: 8192))
    #expect(host.status(entry, queue).code == .sglDescriptorTypeInvalid)
    entry.setSGL(SGLDescriptor(type: .segment, address: 0, length: 17))
    #expect(host.status(entry, queue).code == .invalidSGLSegmentDescriptor)
    entry.setSGL(SGLDescriptor(type: .segment, address: 64, length: 32))
    #expect(host.status(entry, queue).code == .dataTransferError)
    let without = try TestHost.memory { $0.sgl = false }
    entry.setSGL(address: without.arena.address(0), length: 8192)
    #expect(without.status(entry, without.makeQueue()).code == .invalidField)
  }
}
