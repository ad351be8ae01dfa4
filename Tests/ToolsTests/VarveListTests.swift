import Foundation
import TestSupport
import Testing

@Suite struct VarveListTests {
  /// A machine with a controller that the kernel uses, whose disk is mounted, and one bound to vfio-pci and
  /// in use.
  private func machine() throws -> FakeSystem {
    let system = try FakeSystem()
    try system.addFunction("0000:01:00.0", driver: "nvme", group: 12)
    try system.addBlock("nvme0n1", of: "0000:01:00.0", number: "259:0")
    try system.write("30 1 259:0 / /data rw - ext4 /dev/nvme0n1 rw", to: "proc/self/mountinfo")
    try system.addFunction("0000:02:00.0", driver: "vfio-pci", group: 13)
    try system.write("", to: "dev/vfio/13")
    try system.write("mount.varve", to: "proc/4711/comm")
    try system.makeFolder("proc/4711/fd")
    #expect(symlink("\(system.root)/dev/vfio/13", "\(system.root)/proc/4711/fd/3") == 0)
    try system.addFunction("0000:03:00.0", classCode: "0x020000", driver: "e1000")
    return system
  }

  @Test func saysWhoUsesEachController() throws {
    let system = try machine()
    let result = try Command.run("varve", "list", "--sysroot", system.root, "-o", "json")
    #expect(result.status == 0)
    let controllers = try #require(try result.json()["controllers"] as? [[String: Any]])
    #expect(controllers.map { $0["address"] as? String } == ["0000:01:00.0", "0000:02:00.0"])
    let (kernels, ours) = (controllers[0], controllers[1])
    #expect(kernels["id"] as? String == "1b36:0010")
    #expect(kernels["driver"] as? String == "nvme")
    #expect(kernels["iommu_group"] as? Int == 12)
    #expect(kernels["numa_node"] is NSNull)
    #expect(kernels["block_devices"] as? [String] == ["nvme0n1"])
    #expect(kernels["uses"] as? [String] == ["nvme0n1 is mounted at /data"])
    #expect(ours["uses"] as? [String] == ["held by mount.varve (process 4711)"])
    #expect(controllers.allSatisfy { $0["controller"] == nil })
  }

  @Test func showsATable() throws {
    let system = try machine()
    let lines = try Command.run("varve", "list", "--sysroot", system.root).output.split(separator: "\n")
    #expect(lines.count == 3)
    #expect(lines.first?.hasPrefix("Address") == true)
    #expect(lines.last?.contains("vfio-pci") == true)
  }

  @Test func aFilesystemOnABlockDeviceIsSeenWithoutTouchingTheController() throws {
    let system = try machine()
    let image = try TestImage(label: "layers")
    try system.write("Maker 2000   ", to: "sys/bus/pci/devices/0000:01:00.0/nvme/nvme0/model")
    let contents = try image.contents()
    try contents.prefix(1 << 20).write(to: URL(filePath: "\(system.root)/dev/nvme0n1"))
    let result = try Command.run("varve", "list", "--sysroot", system.root, "-o", "json")
    let controllers = try #require(try result.json()["controllers"] as? [[String: Any]])
    #expect(controllers[0]["model"] as? String == "Maker 2000")
    #expect(controllers[1]["model"] is NSNull)
    let found = try #require(controllers[0]["filesystems"] as? [[String: Any]])
    #expect(found.map { $0["label"] as? String } == ["layers"])
    #expect(found.map { $0["device"] as? String } == ["nvme0n1"])
    #expect((controllers[1]["filesystems"] as? [Any])?.isEmpty == true)
    #expect(try Command.run("varve", "list", "--sysroot", system.root).output.contains("layers"))
  }

  @Test func aMachineWithoutControllersIsNoFailure() throws {
    let system = try FakeSystem()
    let result = try Command.run("varve", "list", "--sysroot", system.root)
    #expect(result.status == 0)
    #expect(result.output == "There is no NVMe controller on the PCI bus.\n")
  }

  @Test func aProbeOfAControllerThatCannotBeOpenedSaysWhy() throws {
    let system = try machine()
    let result = try Command.run("varve", "list", "--probe", "--sysroot", system.root, "-o", "json")
    #expect(result.status == 0)
    let controllers = try #require(try result.json()["controllers"] as? [[String: Any]])
    #expect(controllers[0]["controller"] == nil)
    let probed = try #require(controllers[1]["controller"] as? [String: Any])
    #expect((probed["problem"] as? String)?.contains("0000:02:00.0") == true)
  }
}
