import Foundation
import Glibc
import PCI
import PCIHost
import Testing

/// Binding a real controller, which only the guest's tests may do with theirs (`Tests/guest`).
@Suite(.enabled(if: ProcessInfo.processInfo.environment["VARVE_GUEST_TEST"] == "binding"))
struct BindingOnHardwareTests {
  @Test func changesHandsBetweenTheKernelAndVFIO() throws {
    let address = try #require(Discovery.functions().first?.address)
    #expect(try Binding.unbind(address).driver == "nvme")
    #expect(try Binding.unbind(address).driver == "nvme")
    let node = try #require(Self.waitForDisk())

    // The error names a process that has the disk open.
    let descriptor = open(node, O_RDONLY)
    #expect(descriptor >= 0)
    let refused = #expect(throws: FunctionError.self) { try Binding.bind(address) }
    #expect(refused?.problem.contains("this process") == true)
    #expect(try Discovery.function(at: address).driver == "nvme")
    close(descriptor)

    let bound = try Binding.bind(address)
    #expect(bound.isBoundToVFIO)
    let group = try #require(bound.group)
    #expect(access("/dev/vfio/\(group)", F_OK) == 0)
    #expect(access(node, F_OK) != 0)

    // A process that holds the group prevents binding the kernel's driver.
    let holder = open("/dev/vfio/\(group)", O_RDWR)
    #expect(holder >= 0)
    #expect(throws: FunctionError.self) { try Binding.unbind(address) }
    close(holder)
  }

  /// The kernel scans namespaces in the background.
  private static func waitForDisk() -> String? {
    for _ in 0..<100 {
      if access("/dev/nvme0n1", F_OK) == 0 { return "/dev/nvme0n1" }
      usleep(100_000)
    }
    return nil
  }
}
