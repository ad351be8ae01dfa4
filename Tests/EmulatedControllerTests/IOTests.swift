import EmulatedController
import NVMeSpec
import TestSupport
import Testing

@Suite("I/O commands")
struct IOTests {
  private func fill(_ host: TestHost, _ frame: UInt32, _ bytes: [UInt8]) {
    host.bytes(frame, bytes.count).copyBytes(from: bytes)
  }

  @Test("written data reads back, in both formats", arguments: [512, 4096], 0..<4)
  func readBack(blockSize: Int, seed: Int) throws {
    var random = SplitMix(seed: UInt64(seed))
    let host = try TestHost.memory(bytes: 1 << 20, blockSize: blockSize)
    let queue = host.makeQueue()
    var model = [UInt8](repeating: 0, count: 1 << 20)
    let blocks = model.count / blockSize
    let (source, target) = (host.allocate(16), host.allocate(16))
    for _ in 0..<60 {
      let count = Int.random(in: 1...(65_536 / blockSize), using: &random)
      let block = Int.random(in: 0...(blocks - count), using: &random)
      let range = block * blockSize..<(block + count) * blockSize
      if Bool.random(using: &random) {
        let data = random.pattern(range.count)
        fill(host, source, data)
        let entry = host.transfer(
          .write, block: UInt64(block), count: UInt32(count), frame: source, blockSize: blockSize)
        #expect(host.status(entry, queue).isSuccess)
        model.replaceSubrange(range, with: data)
      }
      let entry = host.transfer(
        .read, block: UInt64(block), count: UInt32(count), frame: target, blockSize: blockSize)
      #expect(host.status(entry, queue).isSuccess)
      #expect(host.bytes(target, range.count).elementsEqual(model[range]))
    }
  }

  @Test("blocks beyond the end, unknown namespaces and opcodes have their status")
  func refusals() throws {
    let host = try TestHost.memory(bytes: 1 << 20) { $0.maximumTransfer = 2 }
    let queue = host.makeQueue()
    let frame = host.allocate(16)
    func code(_ block: UInt64, _ count: UInt32, namespace: UInt32 = 1, _ opcode: IOOpcode = .read)
      -> StatusCode
    {
      host.status(
        host.transfer(opcode, block: block, count: count, frame: frame, namespace: namespace), queue
      ).code
    }
    #expect(code(255, 1) == .success)
    #expect(code(255, 2) == .lbaOutOfRange)
    #expect(code(256, 1) == .lbaOutOfRange)
    #expect(code(.max, 1) == .lbaOutOfRange)
    #expect(code(0, 4) == .success)
    #expect(code(0, 5) == .invalidField)
    #expect(code(0, 1, namespace: 2) == .invalidNamespaceOrFormat)
    #expect(code(0, 1, namespace: 0) == .invalidNamespaceOrFormat)
    #expect(code(0, 1, namespace: .max) == .invalidNamespaceOrFormat)
    #expect(code(0, 1, IOOpcode(rawValue: 0x44)) == .invalidOpcode)
    var fused = host.transfer(.read, block: 0, count: 1, frame: frame)
    fused.fused = 1
    #expect(host.status(fused, queue).code == .invalidField)
  }

  @Test(
    "deallocated and zeroed blocks read as zeros, their neighbours are unchanged", arguments: [512, 4096])
  func deallocate(blockSize: Int) throws {
    var random = SplitMix(seed: 5)
    let host = try TestHost.memory(bytes: 1 << 20, blockSize: blockSize)
    let queue = host.makeQueue()
    let whole = UInt32((64 << 10) / blockSize)
    let (source, target, list) = (host.allocate(16), host.allocate(16), host.allocate())
    var model = random.pattern(64 << 10)
    fill(host, source, model)
    let write = host.transfer(.write, block: 0, count: whole, frame: source, blockSize: blockSize)
    #expect(host.status(write, queue).isSuccess)
    let ranges: [(UInt64, UInt32)] = [(1, 3), (7, 0), (9, 1)]
    for (index, range) in ranges.enumerated() {
      host.bytes(list, 4096).storeBytes(
        of: DatasetManagementRange(block: range.0, count: range.1), toByteOffset: index * 16,
        as: DatasetManagementRange.self)
    }
    var entry = SubmissionEntry(deallocate: ranges.count, namespace: 1)
    entry.prp1 = host.arena.address(list)
    #expect(host.status(entry, queue).isSuccess)
    let zeroes = SubmissionEntry(.writeZeroes, namespace: 1, block: 12, count: 2)
    #expect(host.status(zeroes, queue).isSuccess)
    for (block, count) in [(1, 3), (9, 1), (12, 2)] {
      let range = block * blockSize..<(block + count) * blockSize
      model.replaceSubrange(range, with: repeatElement(0, count: range.count))
    }
    let read = host.transfer(.read, block: 0, count: whole, frame: target, blockSize: blockSize)
    #expect(host.status(read, queue).isSuccess)
    #expect(host.bytes(target, 64 << 10).elementsEqual(model))
    #expect(host.controller.statistics.blocksDeallocated == 4)
  }

  @Test("256 ranges are accepted at once, and one out of range makes all fail")
  func manyRanges() throws {
    let host = try TestHost.memory(bytes: 4 << 20)
    let queue = host.makeQueue()
    let list = host.allocate()
    for index in 0..<256 {
      host.bytes(list, 4096).storeBytes(
        of: DatasetManagementRange(block: UInt64(index * 4), count: 1), toByteOffset: index * 16,
        as: DatasetManagementRange.self)
    }
    var entry = SubmissionEntry(deallocate: 256, namespace: 1)
    entry.prp1 = host.arena.address(list)
    #expect(host.status(entry, queue).isSuccess)
    #expect(host.controller.statistics.blocksDeallocated == 256)
    host.bytes(list, 4096).storeBytes(
      of: DatasetManagementRange(block: .max, count: .max), toByteOffset: 255 * 16,
      as: DatasetManagementRange.self)
    #expect(host.status(entry, queue).code == .lbaOutOfRange)
    #expect(host.controller.statistics.blocksDeallocated == 256)
  }

  @Test("Compare finds a difference of one byte, Verify reads without data")
  func compare() throws {
    var random = SplitMix(seed: 9)
    let host = try TestHost.memory(bytes: 1 << 20)
    let queue = host.makeQueue()
    let frame = host.allocate(40)
    fill(host, frame, random.pattern(40 * 4096))
    #expect(host.status(host.transfer(.write, block: 3, count: 40, frame: frame), queue).isSuccess)
    let compare = host.transfer(.compare, block: 3, count: 40, frame: frame)
    #expect(host.status(compare, queue).isSuccess)
    host.bytes(frame, 40 * 4096)[39 * 4096 + 4095] ^= 1
    #expect(host.status(compare, queue) == Status(.compareFailure, doNotRetry: true))
    #expect(host.status(SubmissionEntry(.verify, namespace: 1, block: 0, count: 256), queue).isSuccess)
    let beyond = SubmissionEntry(.verify, namespace: 1, block: 0, count: 257)
    #expect(host.status(beyond, queue).code == .lbaOutOfRange)
  }

  @Test("Flush works for one namespace and for all")
  func flush() throws {
    let host = try TestHost.memory()
    let queue = host.makeQueue()
    #expect(host.status(SubmissionEntry(.flush, namespace: 1), queue).isSuccess)
    #expect(host.status(SubmissionEntry(.flush, namespace: SubmissionEntry.allNamespaces), queue).isSuccess)
    #expect(host.status(SubmissionEntry(.flush, namespace: 7), queue).code == .invalidNamespaceOrFormat)
    #expect(host.controller.statistics.flushes == 2)
  }

  @Test("Format NVM changes the block size and loses the data")
  func format() throws {
    let host = try TestHost.memory(bytes: 1 << 20, blockSize: 4096)
    let queue = host.makeQueue()
    let frame = host.allocate()
    fill(host, frame, [UInt8](repeating: 7, count: 4096))
    #expect(host.status(host.transfer(.write, block: 0, count: 1, frame: frame), queue).isSuccess)
    #expect(host.status(SubmissionEntry(formatNamespace: 1, format: 0)).isSuccess)
    let last = host.transfer(.read, block: 2047, count: 1, frame: frame, blockSize: 512)
    #expect(host.status(last, queue).isSuccess)
    let first = host.transfer(.read, block: 0, count: 8, frame: frame, blockSize: 512)
    #expect(host.status(first, queue).isSuccess)
    #expect(host.bytes(frame, 4096).allSatisfy { $0 == 0 })
    #expect(host.status(SubmissionEntry(formatNamespace: 1, format: 5)).code == .invalidFormat)
  }

  @Test("Format NVM changes the protection information, where there is metadata for it")
  func formatProtection() throws {
    let host = try TestHost.memory {
      $0.namespaces[0].metadataSize = 8
      $0.namespaces.append(.init(.memory(bytes: 1 << 20)))
    }
    for type in [1, 2, 3, 0] as [UInt8] {
      let entry = SubmissionEntry(formatNamespace: 1, format: 0, protection: type)
      #expect(host.status(entry).isSuccess)
      let page = try #require(host.data(SubmissionEntry(identify: .namespace, namespace: 1)))
      #expect(IdentifyNamespace(decoding: page).protectionSettings == type)
    }
    for entry in [
      SubmissionEntry(formatNamespace: 1, format: 0, protection: 4),
      SubmissionEntry(formatNamespace: 1, format: 0, protection: 1, protectionFirst: true),
      SubmissionEntry(formatNamespace: 1, format: 0, extendedMetadata: true),
      SubmissionEntry(formatNamespace: 2, format: 0, protection: 1),
    ] {
      #expect(host.status(entry).code == .invalidFormat)
    }
  }

  @Test("Verify counts as data read")
  func verifyIsCounted() throws {
    let host = try TestHost.memory()
    let queue = host.makeQueue()
    #expect(host.status(SubmissionEntry(.verify, namespace: 1, block: 0, count: 4096), queue).isSuccess)
    #expect(try #require(host.health()).dataUnitsRead == 33)
  }

  @Test("protection information has the command's application tag, and Verify writes none")
  func applicationTag() throws {
    let host = try TestHost.memory {
      $0.namespaces[0].metadataSize = 16
      $0.namespaces[0].protectionType = 1
    }
    let queue = host.makeQueue()
    let frame = host.allocate(2)
    var write = host.transfer(.write, block: 0, count: 1, frame: frame)
    write.protectionInformation = .action
    write.cdw15 = 0x1234
    write.metadata = host.arena.address(frame + 1)
    #expect(host.status(write, queue).isSuccess)
    for (tag, code) in [(0x1234, nil), (0x1235, .applicationTagCheckError)] as [(UInt32, StatusCode?)] {
      var read = host.transfer(.read, block: 0, count: 1, frame: frame)
      read.protectionInformation = .application
      read.cdw15 = 0xffff << 16 | tag
      read.metadata = host.arena.address(frame + 1)
      let status = host.status(read, queue)
      if let code { #expect(status.code == code) } else { #expect(status.isSuccess) }
    }
    var verify = SubmissionEntry(.verify, namespace: 1, block: 0, count: 1)
    verify.protectionInformation = .action
    #expect(host.status(verify, queue).code == .invalidField)
    // After Write Zeroes, metadata other than protection information is zero.
    #expect(host.status(SubmissionEntry(.writeZeroes, namespace: 1, block: 0, count: 1), queue).isSuccess)
    var read = host.transfer(.read, block: 0, count: 1, frame: frame)
    read.metadata = host.arena.address(frame + 1)
    #expect(host.status(read, queue).isSuccess)
    #expect(
      Array(host.bytes(frame + 1, 16)) == [UInt8](repeating: 0, count: 8) + [UInt8](repeating: 0xff, count: 8)
    )
  }
}
