import Block
import CMachine
import Foundation
import Glibc
import NVMe
import PCI
import PCIHost
import Testing
@testable import VFIO

/// Tests that need an action on the controller from outside. `Tests/guest` does that and selects them by
/// name.
private func isAskedFor(_ name: String) -> Bool {
  ProcessInfo.processInfo.environment["VARVE_GUEST_TEST"] == name
}

@Suite(.serialized) struct OutsideTests {
  /// The guest's operator removes the controller when "holding the controller" is printed.
  @Test(.enabled(if: isAskedFor("removal"))) func isNotifiedOfItsRemoval() throws {
    let info = try #require(Discovery.functions().first { $0.isBoundToVFIO })
    let function = try VFIOFunction(at: info.address)
    let registers = try function.openBAR(0)
    let removal = try #require(function.removalDescriptor)
    print("holding the controller")
    fflush(nil)
    var wait = pollfd(fd: removal, events: Int16(POLLIN), revents: 0)
    #expect(poll(&wait, 1, 30_000) == 1)
    // Reading a removed device must not end the process.
    _ = registers.load32(at: 8)
    function.close()
    #expect(Self.eventually { (try? Discovery.function(at: info.address)) == nil })
    #expect(throws: FunctionError.self) { try VFIOFunction(at: info.address) }
  }

  /// A controller with queues in unmapped memory: the IOMMU refuses the access, and the kernel logs it.
  @Test(.enabled(if: isAskedFor("fault"))) func cannotReachWhatIsNotMapped() throws {
    let info = try #require(Discovery.functions().first { $0.isBoundToVFIO })
    let function = try VFIOFunction(at: info.address)
    let registers = try function.openBAR(0)
    function.setBusMaster(true)
    registers.store32(0x1f_001f, at: 0x24)
    registers.store64(0x7000_0000, at: 0x28)
    registers.store64(0x7000_1000, at: 0x30)
    registers.store32(0x46_0001, at: 0x14)
    #expect(Self.eventually { registers.load32(at: 0x1c) & 1 == 1 })
    registers.store32(1, at: 0x1000)
    usleep(200_000)
  }

  /// A medium that cannot read block 101: the command ends with Linux's error for that, its neighbours with
  /// data.
  @Test(.enabled(if: isAskedFor("medium"))) func reportsAMediumError() throws {
    let info = try #require(Discovery.functions().first { $0.isBoundToVFIO })
    let controller = try Controller.open(try VFIOFunction(at: info.address))
    let device = try NamespaceDevice(controller: controller, namespace: 1, arenaFrames: 64)
    let blocks = SynchronousDevice(device)
    defer { blocks.close() }
    let error = #expect(throws: BlockDeviceError.self) { try blocks.read(block: 101, count: 1) }
    #expect(error?.errno == ENODATA)
    #expect(try blocks.read(block: 100, count: 1).count == 4096)
    #expect(try blocks.read(block: 102, count: 1).count == 4096)
    #expect(throws: BlockDeviceError.self) { try blocks.read(block: 96, count: 16) }
    #expect(!device.errors.isEmpty)
  }

  /// The error tells a user without rights what permission is missing; with it the user can open the
  /// controller.
  @Test(.enabled(if: isAskedFor("user"))) func isOpenedByAUserWhoMayToo() throws {
    let info = try #require(Discovery.functions().first { $0.isBoundToVFIO })
    let node = "/dev/vfio/\(try #require(info.group))"
    let nobody: uid_t = 65534
    #expect(seteuid(nobody) == 0)
    defer { seteuid(0) }
    let refused = #expect(throws: FunctionError.self) { try VFIOFunction(at: info.address) }
    #expect(refused?.errno == EACCES)
    #expect(refused?.remedy.contains("chown \"$USER\" \(node)") == true)
    let unbound = #expect(throws: FunctionError.self) { try Binding.unbind(info.address) }
    #expect(unbound?.remedy.contains("root") == true)

    #expect(seteuid(0) == 0 && chown(node, nobody, 0) == 0)
    try limitLockedMemory(to: 64 << 10)
    #expect(seteuid(nobody) == 0)
    let function = try VFIOFunction(at: info.address)
    defer { function.close() }
    let arena = try DMAArena(frames: 256)
    let tooMuch = #expect(throws: FunctionError.self) { try function.map(arena) }
    #expect(
      tooMuch?.problem.contains("RLIMIT_MEMLOCK") == true && tooMuch?.remedy.contains("ulimit -l") == true)
    #expect(arena.iova == .max)

    #expect(seteuid(0) == 0)
    try limitLockedMemory(to: 64 << 20)
    #expect(seteuid(nobody) == 0)
    try function.map(arena)
    #expect(arena.iova != .max)
  }

  private func limitLockedMemory(to bytes: UInt) throws {
    var limit = rlimit(rlim_cur: bytes, rlim_max: bytes)
    #expect(setrlimit(__rlimit_resource_t(__RLIMIT_MEMLOCK.rawValue), &limit) == 0)
  }

  /// Commands in flight when the operator removes the controller: each ends, and no wait is unbounded.
  @Test(.enabled(if: isAskedFor("pulled"))) func endsCommandsOfAControllerThatIsPulled() throws {
    let info = try #require(Discovery.functions().first { $0.isBoundToVFIO })
    let controller = try Controller.open(try VFIOFunction(at: info.address))
    let device = try NamespaceDevice(controller: controller, namespace: 1, arenaFrames: 64)
    let blocks = SynchronousDevice(device)
    let removal = try #require(device.removalDescriptor)
    print("holding the controller")
    fflush(nil)
    var reads = 0
    #expect(
      Self.eventually {
        for _ in 0..<100 where (try? blocks.read(block: 0, count: 16)) != nil { reads += 1 }
        var wait = pollfd(fd: removal, events: Int16(POLLIN), revents: 0)
        return poll(&wait, 1, 0) == 1
      })
    #expect(reads > 0)
    blocks.close()
    #expect(Self.eventually { (try? Discovery.function(at: info.address)) == nil })
  }

  /// Whether something comes true within some seconds.
  private static func eventually(_ isTrue: () -> Bool) -> Bool {
    for _ in 0..<100 {
      if isTrue() { return true }
      usleep(100_000)
    }
    return false
  }
}
