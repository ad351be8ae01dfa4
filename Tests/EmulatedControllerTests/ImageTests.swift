import CMachine
import EmulatedController
import Glibc
import NVMeSpec
import PCI
import TestSupport
import Testing

@Suite("Image files")
struct ImageTests {
  private func host(
    _ image: TemporaryImage, blockSize: Int = 4096, mode: EmulatedController.Configuration.Mode = .inService
  ) throws -> TestHost {
    var configuration = EmulatedController.Configuration(namespaces: [
      .init(.image(path: image.path), blockSize: blockSize)
    ])
    configuration.mode = mode
    let host = try TestHost(configuration, frames: 1200)
    host.enable(interrupts: 2)
    return host
  }

  @Test("data is there after a restart", arguments: ["/dev/shm", "/var/tmp"], [512, 4096])
  func durable(folder: String, blockSize: Int) throws {
    var random = SplitMix(seed: 1)
    let image = try TemporaryImage(bytes: 8 << 20, folder: folder)
    let data = random.pattern(1 << 16)
    let count = UInt32(data.count / blockSize)
    do {
      let host = try host(image, blockSize: blockSize)
      let queue = host.makeQueue(vector: 1)
      let frame = host.allocate(16)
      host.bytes(frame, data.count).copyBytes(from: data)
      let write = host.transfer(
        .write, block: UInt64(1 << 20 / blockSize), count: count, frame: frame, blockSize: blockSize,
        fua: true)
      #expect(host.status(write, queue).isSuccess)
      #expect(host.status(SubmissionEntry(.flush, namespace: 1), queue).isSuccess)
      host.controller.close()
    }
    let host = try host(image, blockSize: blockSize)
    let queue = host.makeQueue(vector: 1)
    let frame = host.allocate(256)
    let read = host.transfer(
      .read, block: UInt64(1 << 20 / blockSize), count: count, frame: frame, blockSize: blockSize)
    #expect(host.status(read, queue).isSuccess)
    #expect(host.bytes(frame, data.count).elementsEqual(data))
  }

  /// The file is compared before the controller is closed: after a kill, the file alone remains.
  @Test(
    "holes, writes, zeroes and restarts in any order match a model, in the file too",
    arguments: ["/dev/shm", "/var/tmp"], [512, 4096])
  func model(folder: String, blockSize: Int) throws {
    var random = SplitMix(seed: UInt64(blockSize))
    let image = try TemporaryImage(bytes: 1 << 20, folder: folder)
    var model = [UInt8](repeating: 0, count: 1 << 20)
    let blocks = model.count / blockSize
    for round in 0..<4 {
      let host = try host(image, blockSize: blockSize, mode: round & 1 == 0 ? .stepped : .inService)
      let queue = host.makeQueue(vector: round & 1 == 0 ? nil : 1)
      let frame = host.allocate(48)
      for _ in 0..<60 {
        // A worker thread copies the larger ones.
        let count = Int.random(in: 1...((48 << 12) / blockSize), using: &random)
        let block = Int.random(in: 0...(blocks - count), using: &random)
        let range = block * blockSize..<(block + count) * blockSize
        let opcode = [IOOpcode.write, .writeZeroes, .read, .read].randomElement(using: &random) ?? .read
        if opcode == .write {
          let data = random.pattern(range.count)
          model.replaceSubrange(range, with: data)
          host.bytes(frame, data.count).copyBytes(from: data)
        } else if opcode == .writeZeroes {
          model.replaceSubrange(range, with: [UInt8](repeating: 0, count: range.count))
        }
        let entry = host.transfer(
          opcode, block: UInt64(block), count: UInt32(count), frame: frame, blockSize: blockSize)
        #expect(host.status(entry, queue).isSuccess)
        if opcode == .read {
          let same = model[range].withUnsafeBytes {
            memcmp($0.baseAddress!, host.arena.pointer(frame), range.count)
          }
          #expect(same == 0)
        }
      }
      #expect(host.controller.contents(namespace: 1)?.bytes(at: 0, count: model.count) == model)
      #expect(try image.contents() == model)
      host.controller.close()
    }
  }

  @Test("an image has one opener, and the message names the process", arguments: ["/dev/shm", "/var/tmp"])
  func lock(folder: String) throws {
    let image = try TemporaryImage(bytes: 1 << 20, folder: folder)
    let first = try host(image)
    let error = #expect(throws: FunctionError.self) { try host(image) }
    #expect(error?.errno == EBUSY)
    #expect(error?.problem.contains("this process") == true, "\(error?.description ?? "")")
    first.controller.close()
    _ = try host(image)
  }

  @Test("a file that is no image is refused with a reason")
  func refused() throws {
    func error(_ path: String) -> FunctionError? {
      #expect(throws: FunctionError.self) {
        try EmulatedController(.init(namespaces: [.init(.image(path: path))]))
      }
    }
    #expect(error("/dev/shm/emulated-no-such-file")?.errno == ENOENT)
    #expect(error("/dev/shm")?.errno == EISDIR)
    #expect(error("/dev/null")?.errno == ENODEV)
    let empty = try TemporaryImage(bytes: 100)
    #expect(error(empty.path)?.errno == EINVAL)
  }

  @Test("images are sparse, and deallocation gives space back", arguments: ["/dev/shm", "/var/tmp"])
  func sparse(folder: String) throws {
    let image = try TemporaryImage(bytes: 64 << 20, folder: folder)
    let host = try host(image)
    let queue = host.makeQueue(vector: 1)
    let frame = host.allocate(256)
    host.bytes(frame, 1 << 20).initializeMemory(as: UInt8.self, repeating: 3)
    #expect(host.status(host.transfer(.write, block: 512, count: 256, frame: frame), queue).isSuccess)
    #expect(host.status(SubmissionEntry(.flush, namespace: 1), queue).isSuccess)
    #expect((1 << 20..<4 << 20).contains(image.allocated))
    host.bytes(frame, 16).storeBytes(
      of: DatasetManagementRange(block: 512, count: 256), as: DatasetManagementRange.self)
    var entry = SubmissionEntry(deallocate: 1, namespace: 1)
    entry.prp1 = host.arena.address(frame)
    #expect(host.status(entry, queue).isSuccess)
    #expect(host.status(SubmissionEntry(.flush, namespace: 1), queue).isSuccess)
    #expect(host.status(host.transfer(.read, block: 512, count: 256, frame: frame), queue).isSuccess)
    #expect(host.bytes(frame, 1 << 20).loadUnaligned(as: UInt64.self) == 0)
    #expect(memcmp(host.arena.pointer(frame), host.arena.pointer(frame) + 8, (1 << 20) - 8) == 0)
    // An image in memory keeps some of it for later writes, until it is closed.
    #expect(image.allocated < (folder == "/dev/shm" ? 4 << 20 : 1 << 20))
    host.controller.close()
    #expect(image.allocated < 1 << 20)
  }

  @Test(
    "the deallocated pages that an image in memory keeps, and the pages ahead of a writer, are bounded")
  func kept() throws {
    let image = try TemporaryImage(bytes: 128 << 20)
    let host = try host(image)
    let queue = host.makeQueue(vector: 1)
    let frame = host.allocate(256)
    host.bytes(frame, 1 << 20).initializeMemory(as: UInt8.self, repeating: 5)
    for block in stride(from: UInt64(0), to: 16_384, by: 256) {
      #expect(host.status(host.transfer(.write, block: block, count: 256, frame: frame), queue).isSuccess)
    }
    for block in stride(from: UInt64(0), to: 16_384, by: 1024) {
      host.bytes(frame, 16).storeBytes(
        of: DatasetManagementRange(block: block, count: 1024), as: DatasetManagementRange.self)
      var entry = SubmissionEntry(deallocate: 1, namespace: 1)
      entry.prp1 = host.arena.address(frame)
      #expect(host.status(entry, queue).isSuccess)
    }
    #expect((1 << 20...(128 << 20) / 8 + (16 << 20)).contains(image.allocated))
    for block in stride(from: UInt64(0), to: 16_384, by: 256) {
      host.bytes(frame, 1 << 20).initializeMemory(as: UInt8.self, repeating: 5)
      #expect(host.status(host.transfer(.read, block: block, count: 256, frame: frame), queue).isSuccess)
      #expect(host.bytes(frame, 1 << 20).loadUnaligned(as: UInt64.self) == 0)
      #expect(memcmp(host.arena.pointer(frame), host.arena.pointer(frame) + 8, (1 << 20) - 8) == 0)
    }
    host.controller.close()
    #expect(image.allocated < 1 << 20)
  }

  @Test("a preallocated image keeps its pages, and deallocated blocks read as zeros")
  func full() throws {
    let image = try TemporaryImage(bytes: 4 << 20)
    let descriptor = open(image.path, O_WRONLY)
    let bytes = [UInt8](repeating: 7, count: 4 << 20)
    #expect(write(descriptor, bytes, bytes.count) == bytes.count)
    close(descriptor)
    let host = try host(image)
    let queue = host.makeQueue(vector: 1)
    let frame = host.allocate(256)
    host.bytes(frame, 16).storeBytes(
      of: DatasetManagementRange(block: 0, count: 1024), as: DatasetManagementRange.self)
    var entry = SubmissionEntry(deallocate: 1, namespace: 1)
    entry.prp1 = host.arena.address(frame)
    #expect(host.status(entry, queue).isSuccess)
    host.bytes(frame, 1 << 20).initializeMemory(as: UInt8.self, repeating: 5)
    #expect(host.status(host.transfer(.read, block: 256, count: 256, frame: frame), queue).isSuccess)
    #expect(host.bytes(frame, 8).loadUnaligned(as: UInt64.self) == 0)
    #expect(memcmp(host.arena.pointer(frame), host.arena.pointer(frame) + 8, (1 << 20) - 8) == 0)
    #expect(try image.contents().allSatisfy { $0 == 0 })
    host.controller.close()
    #expect(image.allocated >= 4 << 20)
  }

  @Test("access to a truncated image is an error, not a crash", arguments: ["/dev/shm", "/var/tmp"])
  func truncated(folder: String) throws {
    let image = try TemporaryImage(bytes: 1 << 20, folder: folder)
    let host = try host(image, mode: .stepped)
    let queue = host.makeQueue()
    let frame = host.allocate()
    #expect(host.status(host.transfer(.write, block: 200, count: 1, frame: frame), queue).isSuccess)
    #expect(truncate(image.path, 4096) == 0)
    let status = host.status(host.transfer(.read, block: 200, count: 1, frame: frame), queue)
    #expect(status.code == .unrecoveredReadError)
    // Not only the first time.
    let again = host.status(host.transfer(.read, block: 200, count: 1, frame: frame), queue)
    #expect(again.code == .unrecoveredReadError)
    #expect(host.status(host.transfer(.read, block: 0, count: 1, frame: frame), queue).isSuccess)
    // Neither former blocks nor former holes can be written, and the file is not extended.
    for block: UInt64 in [200, 240] {
      let refused = host.status(host.transfer(.write, block: block, count: 1, frame: frame), queue)
      #expect(refused.code == .writeFault)
    }
    #expect(try image.contents().count == 4096)
    #expect(
      host.status(host.transfer(.read, block: 200, count: 1, frame: frame), queue).code
        == .unrecoveredReadError)
    #expect(host.status(host.transfer(.write, block: 0, count: 1, frame: frame), queue).isSuccess)
  }

  @Test(
    "a write protected image is reported as such, refuses write commands, and can be read",
    arguments: ["/dev/shm", "/var/tmp"])
  func writeProtected(folder: String) throws {
    var random = SplitMix(seed: 9)
    let image = try TemporaryImage(bytes: 1 << 20, folder: folder)
    let data = random.pattern(1 << 20)
    let descriptor = open(image.path, O_WRONLY)
    #expect(write(descriptor, data, data.count) == data.count)
    close(descriptor)
    var configuration = EmulatedController.Configuration(namespaces: [.init(.image(path: image.path))])
    configuration.namespaces[0].isWriteProtected = true
    let host = try TestHost(configuration, frames: 300)
    host.enable(interrupts: 2)
    let queue = host.makeQueue(vector: 1)
    let frame = host.allocate(256)
    var identify = SubmissionEntry(identify: .namespace, namespace: 1)
    identify.prp1 = host.arena.address(frame)
    #expect(host.status(identify).isSuccess)
    #expect(IdentifyNamespace(decoding: UnsafeRawBufferPointer(host.bytes(frame, 4096))).attributes == 1)
    host.bytes(frame, 16).storeBytes(
      of: DatasetManagementRange(block: 0, count: 8), as: DatasetManagementRange.self)
    var deallocate = SubmissionEntry(deallocate: 1, namespace: 1)
    deallocate.prp1 = host.arena.address(frame)
    for entry in [
      host.transfer(.write, block: 0, count: 1, frame: frame),
      host.transfer(.writeZeroes, block: 0, count: 1, frame: frame), deallocate,
    ] {
      #expect(host.status(entry, queue).code == .namespaceWriteProtected)
    }
    #expect(host.status(SubmissionEntry(.flush, namespace: 1), queue).isSuccess)
    #expect(host.status(host.transfer(.read, block: 0, count: 256, frame: frame), queue).isSuccess)
    #expect(host.bytes(frame, data.count).elementsEqual(data))
    host.controller.close()
    #expect(try image.contents() == data)
  }

  @Test("a file that cannot be written is a write fault, and reading goes on")
  func writeError() throws {
    // A sealed file refuses writes as a failing disk would.
    let (closeOnExec, allowSealing): (UInt32, UInt32) = (1, 2)
    let descriptor = memfd_create("emulated", closeOnExec | allowSealing)
    defer { close(descriptor) }
    #expect(ftruncate(descriptor, 1 << 20) == 0)
    let path = "/proc/self/fd/\(descriptor)"
    var configuration = EmulatedController.Configuration(namespaces: [.init(.image(path: path))])
    configuration.mode = .stepped
    let host = try TestHost(configuration)
    host.enable()
    let queue = host.makeQueue()
    let frame = host.allocate()
    #expect(host.status(host.transfer(.write, block: 0, count: 1, frame: frame), queue).isSuccess)
    let (addSeals, sealFutureWrite): (Int32, Int32) = (1033, 16)
    #expect(fcntl(descriptor, addSeals, sealFutureWrite) == 0)
    let status = host.status(host.transfer(.write, block: 100, count: 1, frame: frame), queue)
    #expect(status == Status(.writeFault))
    #expect(host.status(host.transfer(.read, block: 0, count: 1, frame: frame), queue).isSuccess)
  }

  @Test("the protection type that Format NVM has set is kept over a restart")
  func keptProtection() throws {
    let image = try TemporaryImage(bytes: 1 << 20, folder: "/var/tmp")
    var configuration = EmulatedController.Configuration(namespaces: [.init(.image(path: image.path))])
    configuration.mode = .stepped
    configuration.namespaces[0].metadataSize = 8
    configuration.namespaces[0].protectionType = 1
    for (before, after) in [(UInt8(1), UInt8(3)), (3, 0), (0, 2)] {
      let host = try TestHost(configuration)
      host.enable()
      let page = try #require(host.data(SubmissionEntry(identify: .namespace, namespace: 1)))
      #expect(IdentifyNamespace(decoding: page).protectionSettings == before)
      let format = SubmissionEntry(formatNamespace: 1, format: 0, protection: after)
      #expect(host.status(format).isSuccess)
      host.controller.close()
    }
  }

  @Test("completions of worker threads raise the queue's interrupt and are posted by service")
  func threads() throws {
    let image = try TemporaryImage(bytes: 8 << 20, folder: "/var/tmp")
    let host = try host(image)
    let queue = host.makeQueue(vector: 1)
    let frame = host.allocate(16)
    for round in 0..<20 {
      for block in UInt64(0)..<8 {
        var write = host.transfer(.write, block: block, count: 1, frame: frame, fua: block == 7)
        write.commandIdentifier = UInt16(round * 10 + Int(block))
        host.place(write, queue)
      }
      host.ring(queue)
      var seen = 0
      while seen < 8 {
        if host.poll(queue) != nil {
          seen += 1
        } else {
          #expect(EventDescriptor.isReadable(host.interrupts[1], milliseconds: 10_000))
          _ = host.controller.service(now: cm_monotonic_ns())
        }
      }
      var count: UInt64 = 0
      _ = read(host.interrupts[1], &count, 8)
    }
  }

  @Test("a reset and an unmapping wait for the worker threads")
  func resetWithThreads() throws {
    let image = try TemporaryImage(bytes: 8 << 20, folder: "/var/tmp")
    let host = try host(image)
    for round in 0..<10 {
      let queue = host.makeQueue(vector: 1)
      for _ in 0..<8 { host.place(SubmissionEntry(.flush, namespace: 1), queue) }
      host.ring(queue)
      if round.isMultiple(of: 2) {
        host.disable()
        host.enable(interrupts: 2)
      } else {
        #expect(host.status(SubmissionEntry(deleteSubmissionQueue: 1)).isSuccess)
        var seen = 0
        while host.poll(queue) != nil { seen += 1 }
        #expect(seen == 8)
        #expect(host.status(SubmissionEntry(deleteCompletionQueue: 1)).isSuccess)
      }
    }
    host.controller.unmap(host.arena)
  }
}
