import CMachine
import Foundation
import Glibc
import PCI
import Testing
import VFIOUserServer

@testable import VFIOUser

/// Files that the peer passes: only memory is mapped, and other files are not accessed at all.
@Suite(.serialized, .oneAtATime) struct PassedFileTests {
  private func onDisk() -> Int32 {
    let path = RunningServer.freshPath() + ".memory"
    defer { unlink(path) }
    let descriptor = open(path, O_CREAT | O_RDWR, 0o600)
    ftruncate(descriptor, 1 << 16)
    return descriptor
  }

  private func map(_ peer: RawPeer, _ descriptor: Int32) throws -> Int32 {
    try peer.refusal(
      .dmaMap, DMAMap(offset: 0, address: 0x10000, length: 1 << 16).encoded, descriptors: [descriptor])
  }

  @Test func memoryIsDistinguishedFromFiles() throws {
    let shared = open("/dev/shm/varve-test-\(getpid())", O_CREAT | O_RDWR, 0o600)
    unlink("/dev/shm/varve-test-\(getpid())")
    let memory = [cm_memfd("test"), cm_memfd_huge("test"), shared]
    let others = [onDisk(), cm_eventfd(), open("/dev/zero", O_RDWR), open("/proc/self/stat", O_RDONLY)]
    for descriptor in memory where descriptor >= 0 { #expect(PassedFile.isMemory(descriptor)) }
    for descriptor in others { #expect(!PassedFile.isMemory(descriptor)) }
    #expect(PassedFile.isEventfd(others[1]) && !PassedFile.isEventfd(others[0]))
    for descriptor in memory + others { close(descriptor) }
  }

  @Test func aFileOnADiskIsNoMemory() throws {
    let server = try RunningServer()
    let peer = try server.connect()
    let descriptor = onDisk()
    defer { close(descriptor) }
    #expect(try map(peer, descriptor) == EINVAL)
    let memory = cm_memfd("test")
    defer { close(memory) }
    #expect(ftruncate(memory, 1 << 16) == 0)
    #expect(try map(peer, memory) == 0)
  }

  /// Refused descriptors are closed: a pipe shows that its other end is closed everywhere.
  @Test func whatIsRefusedIsClosed() throws {
    let server = try RunningServer()
    let peer = try server.connect()
    let ends = UnsafeMutablePointer<Int32>.allocate(capacity: 2)
    defer { ends.deallocate() }
    for _ in 0..<20 {
      #expect(pipe(ends) == 0)
      #expect(try map(peer, ends[1]) == EINVAL)
      close(ends[1])
      var entry = pollfd(fd: ends[0], events: Int16(POLLIN), revents: 0)
      #expect(poll(&entry, 1, 5_000) == 1 && entry.revents & Int16(POLLHUP) != 0)
      close(ends[0])
    }
  }

  enum Use: CaseIterable { case memory, interrupt, stray }

  /// A file whose filesystem does not respond is refused like any other, and the server continues.
  @Test(.enabled(if: StuckFile.isAvailable), arguments: Use.allCases)
  func aFileThatIsStuckKeepsNobody(use: Use) throws {
    let stuck = try StuckFile()
    defer { stuck.release() }
    let server = try RunningServer()
    let peer = try server.connect()
    let payload: [UInt8]
    let command: MessageCommand
    switch use {
    case .memory: (command, payload) = (.dmaMap, DMAMap(offset: 0, address: 0x10000, length: 4096).encoded)
    case .interrupt:
      let connect = SetInterrupts(
        flags: SetInterrupts.eventfds | SetInterrupts.trigger, index: InterruptKind.msix, start: 1, count: 1)
      (command, payload) = (.setInterrupts, connect.encoded)
    case .stray: (command, payload) = (.reset, [])
    }
    let started = cm_monotonic_ns()
    #expect(try peer.refusal(command, payload, descriptors: [stuck.descriptor]) == EINVAL)
    #expect(try peer.refusal(.deviceInfo, DeviceInfo().encoded) == 0)
    server.stop()
    #expect(cm_monotonic_ns() - started < 2_000_000_000)
  }

  /// A client that passes more and more of them is disconnected in the end, and they do not exhaust the
  /// process's descriptors.
  @Test(.enabled(if: StuckFile.isAvailable)) func filesThatAreStuckAreLimitedInNumber() throws {
    let stuck = try StuckFile()
    defer { stuck.release() }
    let server = try RunningServer()
    var rounds = 0
    for _ in 0..<20 {
      guard let peer = try? server.connect() else { break }
      let copies = [Int32](repeating: stuck.descriptor, count: 8)
      guard (try? peer.refusal(.reset, descriptors: copies)) == EINVAL else { break }
      rounds += 1
    }
    #expect((1...4).contains(rounds))
    #expect(try server.connect().refusal(.deviceInfo, DeviceInfo().encoded) == 0)
  }

  /// A server's BAR in a file on a disk, as SPDK's where its folder is on one, or on a filesystem that does
  /// not respond.
  @Test(arguments: [false, true]) func aBARThatIsNoMemoryIsReachedByMessages(isStuck: Bool) throws {
    guard !isStuck || StuckFile.isAvailable else { return }
    let stuck = isStuck ? try StuckFile() : nil
    defer { stuck?.release() }
    let bar = stuck?.descriptor ?? onDisk()
    let doorbells = Doorbells()
    let path = HostileServerTests().serve { request, socket in
      switch MessageCommand(rawValue: request.header.command) {
      case .regionInfo:
        let info = RegionInfo(
          argumentSize: 32, flags: RegionInfo.readable | RegionInfo.writable | RegionInfo.mappable, index: 0,
          length: 0x2000)
        try socket.send(
          identifier: request.header.identifier, command: request.header.command, flags: .reply,
          payload: info.encoded, descriptors: [bar])
        return true
      case .regionWrite where RegionAccessMessage(decoding: request.payload)?.offset == 0x1008:
        doorbells.add()
        return true
      default: return false
      }
    }
    let function = try VFIOUserFunction(socket: path, patience: 2_000_000_000)
    let registers = try function.openBAR(0)
    registers.store32(7, at: 0x1008)
    #expect(registers.load32(at: 0x1c) == 0)
    #expect(doorbells.count == 1)
    function.close()
  }
}

/// How often a doorbell was rung.
private final class Doorbells: @unchecked Sendable {
  private let lock = NSLock()
  private var rung = 0

  func add() { lock.withLock { rung += 1 } }
  var count: Int { lock.withLock { rung } }
}
