import FileProtocol
import Glibc
import MemoryService
import PCI
import Reactor
import Synchronization
import Testing

@testable import MountSession

/// Whether this process can mount with FUSE.
enum Fuse {
  static let isThere = access("/dev/fuse", R_OK | W_OK) == 0 && geteuid() == 0
  static let absence: Comment = "these tests need root and /dev/fuse"
}

/// Counts of the kernel's requests, recorded on their way to the service.
struct Traffic: Sendable {
  var operations: [Operation] = []
  /// Writes whose payload was not page-aligned.
  var misalignedWrites = 0
  var writesThatKillPrivileges = 0
  var largestWrite: UInt64 = 0

  func count(_ operation: Operation) -> Int { operations.count { $0 == operation } }
}

/// A session that records the requests.
private final class Tap: RequestChannel {
  private let session: MountSession
  private let service: any FileService
  private let traffic: TrafficLog

  init(_ session: MountSession, _ service: any FileService, _ traffic: TrafficLog) {
    self.session = session
    self.service = service
    self.traffic = traffic
  }

  var descriptor: Int32 { session.descriptor }

  func receive(into slot: Int) -> Receipt {
    let receipt = session.receive(into: slot)
    if receipt == .request { traffic.note(service.requests[slot]) }
    return receipt
  }

  func send(slot: Int) { session.send(slot: slot) }
}

final class TrafficLog: Sendable {
  private let state = Mutex(Traffic())

  var value: Traffic { state.withLock { $0 } }

  func reset() { state.withLock { $0 = Traffic() } }

  fileprivate func note(_ request: Request) {
    let operation = request.operation
    let isMisaligned = request.payloadOffset != 0
    let kills = request.killPrivileges
    let length = request.length
    state.withLock { traffic in
      traffic.operations.append(operation)
      guard operation == .write else { return }
      if isMisaligned { traffic.misalignedWrites += 1 }
      if kills { traffic.writesThatKillPrivileges += 1 }
      traffic.largestWrite = max(traffic.largestWrite, length)
    }
  }
}

/// The memory service mounted at a temporary folder, served by a thread, until `unmount`.
final class TestMount: Sendable {
  let path: String
  let traffic = TrafficLog()
  private let opensInKernel: Bool
  private let writesBack: Bool
  private let outcome = Mutex<(usable: Bool, failure: String?, ended: Bool)>((false, nil, false))

  init(opensInKernel: Bool = true, writesBack: Bool = false) throws {
    path = try Self.makeFolder()
    self.opensInKernel = opensInKernel
    self.writesBack = writesBack
    // The folder's links are resolved, as in the mount table.
    var thread = pthread_t()
    let box = Unmanaged.passRetained(self).toOpaque()
    try #require(pthread_create(&thread, nil, serveTestMount, box) == 0)
    pthread_detach(thread)
    while true {
      let (usable, failure, _) = outcome.withLock { $0 }
      if let failure { throw MountError(failure) }
      if usable { return }
      usleep(1000)
    }
  }

  deinit { rmdir(path) }

  static func makeFolder() throws -> String {
    var template = Array("/tmp/varve-mount-test.XXXXXX".utf8CString)
    guard let made = mkdtemp(&template) else { throw MountError("no temporary folder") }
    return String(cString: made)
  }

  /// Unmounts and waits until the daemon's thread has ended.
  func unmount() {
    if umount2(path, 0) != 0 { umount2(path, Int32(MNT_DETACH)) }
    waitForEnd()
  }

  func waitForEnd() { while !outcome.withLock({ $0.ended }) { usleep(1000) } }

  fileprivate func serve() {
    do {
      let layout = SlotLayout(count: 8)
      let arena = try DMAArena(frames: layout.frameCount)
      let service = MemoryService(slots: layout.count, arena: arena.base)
      let reactor = try Reactor(service: service, device: nil, slots: layout)
      var options = SessionOptions()
      options.opensInKernel = opensInKernel
      options.writesBack = writesBack
      let session = try MountSession(service: service, slots: layout, arena: arena.base, options: options)
      try session.mount(at: MountPoint.prepare(path))
      session.whenUsable = { [self] in outcome.withLock { $0.usable = true } }
      let ending = reactor.serve(Tap(session, service, traffic))
      session.close()
      outcome.withLock { $0.failure = ending == .unmounted ? nil : "\(ending)" }
    } catch {
      outcome.withLock { $0.failure = "\(error)" }
    }
    outcome.withLock { $0.ended = true }
  }

  /// Mounts, runs `body` and unmounts.
  static func with(
    opensInKernel: Bool = true, writesBack: Bool = false, _ body: (TestMount) throws -> Void
  ) throws {
    let mount = try TestMount(opensInKernel: opensInKernel, writesBack: writesBack)
    defer { mount.unmount() }
    try body(mount)
  }
}

private func serveTestMount(_ box: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  if let box { Unmanaged<TestMount>.fromOpaque(box).takeRetainedValue().serve() }
  return nil
}

/// Runs a program and waits for it.
/// - Returns: its exit status.
func run(_ words: String...) throws -> Int32 {
  let arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
  defer { for argument in arguments { free(argument) } }
  var child = pid_t()
  try #require(posix_spawnp(&child, words[0], nil, nil, arguments, environ) == 0)
  var status: Int32 = 0
  while waitpid(child, &status, 0) < 0 {}
  return (status >> 8) & 0xFF
}

/// 0 or the errno of a call that returns a negative number when it fails.
func code(_ result: Int32) -> Int32 { result < 0 ? errno : 0 }

func status(_ path: String) throws -> stat {
  var status = stat()
  guard lstat(path, &status) == 0 else { throw MountError("\(path): \(String(cString: strerror(errno)))") }
  return status
}
