import CMachine
import EmulatedController
import Glibc
import NVMeSpec
import PCI

/// A host without the driver: memory, registers, the admin queue and I/O queues.
final class TestHost {
  let controller: EmulatedController
  let window: RegisterWindow
  let arena: DMAArena
  private(set) var interrupts: [Int32] = []
  private(set) var admin: TestQueue
  private let isInService: Bool
  private var nextFrame: UInt32 = 0

  /// Maps memory and opens BAR0; the controller is not enabled yet.
  init(_ configuration: EmulatedController.Configuration, frames: Int = 1024) throws {
    controller = try EmulatedController(configuration, name: "test")
    isInService = configuration.mode == .inService
    window = try controller.openBAR(0)
    arena = try DMAArena(frames: frames)
    try controller.map(arena)
    controller.setBusMaster(true)
    admin = TestQueue(number: 0, submission: 0, completion: 0, entries: 0, vector: nil)
  }

  /// A stepped controller over one namespace in memory, enabled.
  static func memory(
    bytes: Int = 16 << 20, blockSize: Int = 4096,
    _ change: (inout EmulatedController.Configuration) -> Void = { _ in }
  ) throws -> TestHost {
    var configuration = EmulatedController.Configuration(namespaces: [
      EmulatedController.Namespace(.memory(bytes: bytes), blockSize: blockSize)
    ])
    configuration.mode = .stepped
    change(&configuration)
    let host = try TestHost(configuration)
    host.enable()
    return host
  }

  /// Allocates contiguous unused frames of the arena.
  func allocate(_ count: Int = 1) -> UInt32 {
    defer { nextFrame += UInt32(count) }
    return nextFrame
  }

  /// The bytes of frames.
  func bytes(_ frame: UInt32, _ count: Int) -> UnsafeMutableRawBufferPointer {
    UnsafeMutableRawBufferPointer(start: arena.pointer(frame), count: count)
  }

  var status: ControllerStatus { ControllerStatus(rawValue: window.load32(at: Register.status)) }
  var capabilities: ControllerCapabilities {
    ControllerCapabilities(rawValue: window.load64(at: Register.capabilities))
  }

  /// Sets up the admin queue and CC.EN.
  func enable(
    adminEntries: Int = 32, interrupts count: Int = 0,
    submissionEntrySize: UInt8 = SubmissionEntry.sizeExponent
  ) {
    if count > 0 { interrupts = (try? controller.enableInterrupts(count: count)) ?? [] }
    admin = TestQueue(
      number: 0, submission: allocate(), completion: allocate(), entries: adminEntries, vector: 0)
    clear(admin)
    var attributes = AdminQueueAttributes(rawValue: 0)
    attributes.submissionSize = UInt16(adminEntries - 1)
    attributes.completionSize = UInt16(adminEntries - 1)
    window.store32(attributes.rawValue, at: Register.adminQueueAttributes)
    window.store64(arena.address(admin.submission), at: Register.adminSubmissionQueue)
    window.store64(arena.address(admin.completion), at: Register.adminCompletionQueue)
    var configuration = ControllerConfiguration(rawValue: 0)
    configuration.enabled = true
    configuration.submissionEntrySize = submissionEntrySize
    configuration.completionEntrySize = CompletionEntry.sizeExponent
    window.store32(configuration.rawValue, at: Register.configuration)
  }

  /// Clears CC.EN.
  func disable() { window.store32(0, at: Register.configuration) }

  private func clear(_ queue: TestQueue) {
    let size = queue.frames * DMAArena.frameSize
    _ = bytes(queue.submission, size).initializeMemory(as: UInt8.self, repeating: 0)
    _ = bytes(queue.completion, size).initializeMemory(as: UInt8.self, repeating: 0)
  }

  /// Creates an I/O queue pair.
  func makeQueue(_ number: UInt16 = 1, entries: Int = 64, vector: UInt16? = nil) -> TestQueue {
    let frames = max(1, entries * 64 / 4096)
    let queue = TestQueue(
      number: number, submission: allocate(frames), completion: allocate(frames), entries: entries,
      vector: vector)
    clear(queue)
    let completion = arena.address(queue.completion)
    _ = run(SubmissionEntry(createCompletionQueue: number, entries: entries, at: completion, vector: vector))
    let submission = arena.address(queue.submission)
    _ = run(
      SubmissionEntry(
        createSubmissionQueue: number, entries: entries, at: submission, completionQueue: number))
    return queue
  }

  /// Puts a command into a queue without ringing the doorbell.
  func place(_ entry: SubmissionEntry, _ queue: TestQueue) {
    let slot = arena.pointer(queue.submission) + queue.tail * SubmissionEntry.size
    slot.storeBytes(of: entry, as: SubmissionEntry.self)
    queue.tail = (queue.tail + 1) % queue.entries
  }

  /// Rings a submission queue's doorbell.
  func ring(_ queue: TestQueue) {
    let stride = capabilities.doorbellStride
    window.store32(
      UInt32(queue.tail), at: Doorbell.submissionTail(queue: queue.number, stride: stride))
  }

  /// The next completion, if there is one; the doorbell is rung for it.
  func poll(_ queue: TestQueue) -> CompletionEntry? {
    let slot = arena.pointer(queue.completion) + queue.head * CompletionEntry.size
    let entry = slot.load(as: CompletionEntry.self)
    guard entry.phase == queue.phase else { return nil }
    queue.head += 1
    if queue.head == queue.entries {
      queue.head = 0
      queue.phase.toggle()
    }
    let stride = capabilities.doorbellStride
    window.store32(
      UInt32(queue.head), at: Doorbell.completionHead(queue: queue.number, stride: stride))
    return entry
  }

  /// Sends one command and returns its completion; nil when there is none.
  func run(_ entry: SubmissionEntry, _ queue: TestQueue? = nil) -> CompletionEntry? {
    let queue = queue ?? admin
    var entry = entry
    entry.commandIdentifier = queue.nextIdentifier()
    place(entry, queue)
    ring(queue)
    if let completion = poll(queue) { return completion }
    // A worker thread may be running; the service call collects its result.
    for _ in 0..<(isInService ? 5000 : 1) {
      _ = controller.service(now: isInService ? cm_monotonic_ns() : 0)
      if let completion = poll(queue) { return completion }
      if isInService { pause() }
    }
    return nil
  }

  /// The status of one command; a path error stands for a missing completion.
  func status(_ entry: SubmissionEntry, _ queue: TestQueue? = nil) -> Status {
    run(entry, queue)?.status ?? Status(.abortedByHost)
  }

  /// Runs an admin command and returns its data; nil when it failed.
  func data(_ entry: SubmissionEntry, _ count: Int = 4096) -> UnsafeRawBufferPointer? {
    var entry = entry
    let frame = allocate((count + 4095) / 4096)
    point(&entry, at: arena.address(frame), length: count)
    guard status(entry).isSuccess else { return nil }
    return UnsafeRawBufferPointer(bytes(frame, count))
  }

  /// The SMART log.
  func health() -> SMARTLog? {
    data(SubmissionEntry(getLogPage: .smart, length: SMARTLog.size), SMARTLog.size)
      .map { SMARTLog(decoding: $0) }
  }

  /// Writes CC.SHN.
  func announceShutdown(_ notification: ShutdownNotification) {
    var configuration = ControllerConfiguration(rawValue: window.load32(at: Register.configuration))
    configuration.shutdown = notification
    window.store32(configuration.rawValue, at: Register.configuration)
  }

  /// A write or read of `count` blocks through contiguous frames that begin at `frame`.
  func transfer(
    _ opcode: IOOpcode, block: UInt64, count: UInt32, frame: UInt32, namespace: UInt32 = 1,
    blockSize: Int = 4096, fua: Bool = false
  ) -> SubmissionEntry {
    var entry = SubmissionEntry(opcode, namespace: namespace, block: block, count: count)
    entry.forceUnitAccess = fua
    point(&entry, at: arena.address(frame), length: Int(count) * blockSize)
    return entry
  }

  /// Sets PRP1 and PRP2 for contiguous data, with a list where it takes one.
  func point(_ entry: inout SubmissionEntry, at address: UInt64, length: Int) {
    entry.prp1 = address
    let first = 4096 - Int(address & 4095)
    guard length > first else { return }
    let second = address + UInt64(first)
    let pages = (length - first + 4095) / 4096
    entry.prp2 = pages == 1 ? second : makeList((0..<pages).map { second + UInt64($0) * 4096 })
  }

  /// Writes a PRP list of page addresses, chained over as many list pages as needed.
  /// - Parameter room: how many entries the first list page has, counted from its end.
  func makeList(_ pages: [UInt64], room: Int = 512) -> UInt64 {
    var rest = pages[...]
    var list = arena.address(allocate()) + UInt64((512 - room) * 8)
    let start = list
    var available = room
    while true {
      let pointer = arena.base + Int(list - arena.iova)
      let chained = rest.count > available
      let count = chained ? available - 1 : rest.count
      for (index, page) in rest.prefix(count).enumerated() {
        pointer.storeBytes(of: page, toByteOffset: 8 * index, as: UInt64.self)
      }
      rest = rest.dropFirst(count)
      guard chained else { return start }
      let next = arena.address(allocate())
      pointer.storeBytes(of: next, toByteOffset: 8 * count, as: UInt64.self)
      list = next
      available = 512
    }
  }

  private func pause() {
    var time = timespec(tv_sec: 0, tv_nsec: 1_000_000)
    nanosleep(&time, nil)
  }
}

/// The host's state of a queue pair.
final class TestQueue {
  let number: UInt16
  let submission: UInt32
  let completion: UInt32
  let entries: Int
  let vector: UInt16?
  var tail = 0
  var head = 0
  var phase = true
  private var identifier: UInt16 = 0

  init(number: UInt16, submission: UInt32, completion: UInt32, entries: Int, vector: UInt16?) {
    self.number = number
    self.submission = submission
    self.completion = completion
    self.entries = entries
    self.vector = vector
  }

  /// Frames each of the two rings takes at most.
  var frames: Int { max(1, entries * 64 / 4096) }

  func nextIdentifier() -> UInt16 {
    identifier &+= 1
    return identifier
  }
}
