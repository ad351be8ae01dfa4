import PCI
import PCIHost
import SystemFiles
import TestSupport
import Testing

@Suite struct DiscoveryTests {
  @Test func findsControllersByClass() throws {
    let system = try FakeSystem()
    try system.addFunction("0000:02:00.0", driver: "nvme", group: 12)
    try system.addFunction("0000:01:00.0", driver: "vfio-pci", group: 3)
    try system.addFunction("0000:00:1f.2", classCode: "0x010601", driver: "ahci", group: 1)
    let found = Discovery.functions(in: system.tree)
    #expect(found.map(\.address.description) == ["0000:01:00.0", "0000:02:00.0"])
    #expect(found.map(\.driver) == ["vfio-pci", "nvme"])
    #expect(found.map(\.group) == [3, 12])
    #expect(found.map(\.isBoundToVFIO) == [true, false])
    #expect(found.allSatisfy { $0.vendor == 0x1b36 && $0.device == 0x10 && $0.classCode == 0x010802 })
    #expect(found.allSatisfy { $0.numaNode == nil && !$0.description.isEmpty })
  }

  @Test func readsTheNUMANode() throws {
    let system = try FakeSystem()
    try system.addFunction("0000:01:00.0")
    try system.write("1", to: "sys/devices/pci0000:00/0000:01:00.0/numa_node")
    #expect(Discovery.functions(in: system.tree).first?.numaNode == 1)
  }

  @Test func namesAMissingFunction() throws {
    let system = try FakeSystem()
    let address = try #require(FunctionAddress("0000:09:00.0"))
    let error = #expect(throws: FunctionError.self) { try Discovery.function(at: address, in: system.tree) }
    #expect(error?.problem.contains("0000:09:00.0") == true)
  }

  @Test func listsTheMembersOfAGroupWithoutBridges() throws {
    let system = try FakeSystem()
    try system.addFunction("0000:01:00.0", group: 3)
    try system.addFunction("0000:01:00.1", classCode: "0x020000", group: 3)
    try system.addFunction("0000:00:01.0", classCode: "0x060400", group: 3)
    try system.addFunction("0000:02:00.0", group: 4)
    let function = try #require(Discovery.functions(in: system.tree).first)
    let members = Discovery.members(ofGroupOf: function, in: system.tree)
    #expect(members.map(\.address.description) == ["0000:01:00.0", "0000:01:00.1"])
  }

  @Test func findsNothingWhereThereIsNoBus() {
    #expect(Discovery.functions(in: SystemTree(root: "/nonexistent")).isEmpty)
  }
}
