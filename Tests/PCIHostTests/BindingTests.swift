import Glibc
import PCI
import PCIHost
import TestSupport
import Testing

@Suite struct BindingTests {
  private let controller = "0000:01:00.0"
  private func address() throws -> FunctionAddress { try #require(FunctionAddress(controller)) }

  /// A system with one controller of the kernel's driver, with a disk of one partition.
  private func system(driver: String? = "nvme", group: Int? = 3) throws -> FakeSystem {
    let system = try FakeSystem()
    try system.addFunction(controller, driver: driver, group: group)
    try system.makeFolder("sys/bus/pci/drivers/vfio-pci")
    try system.write("", to: "sys/bus/pci/drivers_probe")
    try system.addBlock("nvme0n1", of: controller, number: "259:0")
    try system.addBlock("nvme0n1/nvme0n1p1", of: controller, number: "259:1")
    return system
  }

  private func refusal(_ system: FakeSystem) throws -> String {
    let error = #expect(throws: FunctionError.self) { try Binding.bind(try address(), in: system.tree) }
    return error?.description ?? ""
  }

  @Test func refusesAMountedDiskByNumber() throws {
    let system = try system()
    try system.write(
      "30 1 259:1 / /mnt/my\\040disk rw,relatime shared:1 - ext4 /dev/disk/by-label/x rw",
      to: "proc/self/mountinfo")
    #expect(try refusal(system).contains("nvme0n1p1 is mounted at /mnt/my disk"))
    #expect(try system.text(of: "sys/bus/pci/devices/\(controller)/driver_override") == "\n")
  }

  @Test func refusesAMountedDiskByName() throws {
    let system = try system()
    try system.write("30 1 0:40 / /data rw - btrfs /dev/nvme0n1 rw", to: "proc/self/mountinfo")
    #expect(try refusal(system).contains("nvme0n1 is mounted at /data"))
  }

  @Test func refusesSwap() throws {
    let system = try system()
    try system.write(
      "Filename Type Size Used Priority\n/dev/nvme0n1p1 partition 999420 0 -2", to: "proc/swaps")
    #expect(try refusal(system).contains("nvme0n1p1 is used as swap space"))
  }

  @Test func refusesALogicalVolumeByItsName() throws {
    let system = try system()
    try system.makeFolder("sys/devices/pci0000:00/\(controller)/nvme/nvme0/nvme0n1/holders/dm-0")
    try system.write("group-home", to: "sys/class/block/dm-0/dm/name")
    #expect(try refusal(system).contains("nvme0n1 is part of group-home (dm-0)"))
  }

  @Test(arguments: [
    ("LVM-abc", "the logical volume group-home (dm-0)"),
    ("CRYPT-LUKS2-abc", "the encrypted volume group-home (dm-0)"),
  ])
  func saysWhatKindOfHolderItIs(uuid: String, text: String) throws {
    let system = try system()
    try system.makeFolder("sys/devices/pci0000:00/\(controller)/nvme/nvme0/nvme0n1/holders/dm-0")
    try system.write("group-home", to: "sys/class/block/dm-0/dm/name")
    try system.write(uuid, to: "sys/class/block/dm-0/dm/uuid")
    #expect(try refusal(system).contains("nvme0n1 is part of \(text)"))
  }

  @Test func refusesAMemberOfAnArray() throws {
    let system = try system()
    try system.makeFolder("sys/devices/pci0000:00/\(controller)/nvme/nvme0/nvme0n1/nvme0n1p1/holders/md0")
    try system.makeFolder("sys/class/block/md0/md")
    #expect(try refusal(system).contains("nvme0n1p1 is part of the RAID array md0"))
  }

  @Test func forceOverridesAProcessAndNothingElse() throws {
    let system = try system()
    try system.write("mkfs.ext4", to: "proc/4711/comm")
    try system.makeFolder("proc/4711/fd")
    #expect(symlink("\(system.root)/dev/nvme0n1", "\(system.root)/proc/4711/fd/3") == 0)
    #expect(try refusal(system).contains("--force"))
    // The fake kernel binds nothing, so only the check before it can be tested.
    let tried = #expect(throws: FunctionError.self) {
      try Binding.bind(try address(), force: true, in: system.tree)
    }
    #expect(tried?.description.contains("in use") == false)
    try system.write("30 1 259:1 / /data rw - ext4 /dev/x rw", to: "proc/self/mountinfo")
    let refused = #expect(throws: FunctionError.self) {
      try Binding.bind(try address(), force: true, in: system.tree)
    }
    #expect(refused?.description.contains("is mounted at /data") == true)
    #expect(
      refused?.description.contains("open in") == false && refused?.description.contains("--force") == false)
  }

  @Test func refusesADiskThatAProcessHasOpen() throws {
    let system = try system()
    try system.write("mkfs.ext4", to: "proc/4711/comm")
    try system.makeFolder("proc/4711/fd")
    #expect(symlink("\(system.root)/dev/nvme0n1", "\(system.root)/proc/4711/fd/3") == 0)
    #expect(try refusal(system).contains("nvme0n1 is open in mkfs.ext4 (process 4711)"))
  }

  @Test func refusesADiskUnderALoopDevice() throws {
    let system = try system()
    try system.write("/dev/nvme0n1p1", to: "sys/class/block/loop4/loop/backing_file")
    #expect(try refusal(system).contains("nvme0n1p1 is used by loop4"))
  }

  @Test func refusesWhatIsExported() throws {
    let system = try system()
    let subsystem = "sys/kernel/config/nvmet/subsystems/nqn.test"
    try system.write("/dev/nvme0n1", to: "\(subsystem)/namespaces/1/device_path")
    try system.write("0", to: "\(subsystem)/namespaces/1/enable")
    let function = try Discovery.function(at: try address(), in: system.tree)
    #expect(BlockUse.all(of: function, in: system.tree).isEmpty)
    try system.write("1", to: "\(subsystem)/namespaces/1/enable")
    #expect(try refusal(system).contains("nvme0n1 is exported as nqn.test"))
    try system.write("0", to: "\(subsystem)/namespaces/1/enable")
    try addCharacters(system)
    try system.write("/dev/nvme0", to: "\(subsystem)/passthru/device_path")
    try system.write("1", to: "\(subsystem)/passthru/enable")
    #expect(try refusal(system).contains("nvme0 is exported as nqn.test"))
  }

  @Test(arguments: ["nvme0", "ng0n1"]) func refusesACharacterDeviceThatAProcessHasOpen(name: String) throws {
    let system = try system()
    try addCharacters(system)
    try system.write("fio", to: "proc/4711/comm")
    try system.makeFolder("proc/4711/fd")
    #expect(symlink("\(system.root)/dev/\(name)", "\(system.root)/proc/4711/fd/3") == 0)
    #expect(try refusal(system).contains("\(name) is open in fio (process 4711)"))
  }

  private func addCharacters(_ system: FakeSystem) throws {
    let folder = "sys/devices/pci0000:00/\(controller)/nvme/nvme0"
    try system.makeFolder("\(folder)/ng0n1")
    try system.link("sys/class/nvme/nvme0", to: folder)
    try system.link("sys/class/nvme-generic/ng0n1", to: "\(folder)/ng0n1")
  }

  @Test func refusesANamespaceReachedThroughASubsystem() throws {
    let system = try system()
    try system.makeFolder("sys/devices/pci0000:00/\(controller)/nvme/nvme0")
    let subsystem = "sys/devices/virtual/nvme-subsystem/nvme-subsys0"
    try system.link("\(subsystem)/nvme0", to: "sys/devices/pci0000:00/\(controller)/nvme/nvme0")
    try system.link("sys/class/nvme-subsystem/nvme-subsys0", to: subsystem)
    try system.write("259:7", to: "\(subsystem)/nvme0n2/dev")
    try system.link("sys/class/block/nvme0n2", to: "\(subsystem)/nvme0n2")
    try system.write("30 1 259:7 / /data rw - xfs /dev/nvme0n2 rw", to: "proc/self/mountinfo")
    #expect(try refusal(system).contains("nvme0n2 is mounted at /data"))
  }

  @Test func namesEveryUse() throws {
    let system = try system()
    try system.write(
      "30 1 259:1 / /a rw - ext4 /dev/x rw\n31 1 259:1 / /b rw - ext4 /dev/x rw", to: "proc/self/mountinfo")
    let text = try refusal(system)
    #expect(text.contains("/a") && text.contains("/b"))
  }

  @Test func ignoresOtherDisks() throws {
    let system = try system()
    try system.write("30 1 259:9 / /data rw - xfs /dev/nvme1n1 rw", to: "proc/self/mountinfo")
    let function = try Discovery.function(at: try address(), in: system.tree)
    #expect(BlockUse.all(of: function, in: system.tree).isEmpty)
  }

  @Test func namesWhatIsMissing() throws {
    #expect(try refusal(try system(group: nil)).contains("intel_iommu=on"))
    let system = try FakeSystem()
    try system.addFunction(controller, driver: "nvme", group: 3)
    #expect(try refusal(system).contains("modprobe vfio-pci"))
    let other = try FakeSystem()
    try other.addFunction(controller, classCode: "0x020000", driver: "e1000", group: 3)
    #expect(try refusal(other).contains("no NVMe controller"))
  }

  @Test func offersTheFunctionAgainWhenTheDriverDoesNotTakeIt() throws {
    let system = try system(driver: nil)
    #expect(try refusal(system).contains("did not take"))
    #expect(try system.text(of: "sys/bus/pci/drivers_probe").hasPrefix(controller))
    #expect(try system.text(of: "sys/bus/pci/devices/\(controller)/driver_override").hasPrefix("\n"))
  }

  @Test func leavesABoundFunctionAlone() throws {
    let system = try system(driver: "vfio-pci")
    #expect(try Binding.bind(try address(), in: system.tree).isBoundToVFIO)
    #expect(try system.text(of: "sys/bus/pci/drivers_probe") == "\n")
  }

  @Test func doesNotUnbindWhatAProcessHolds() throws {
    let system = try system(driver: "vfio-pci")
    try system.makeFolder("sys/bus/pci/drivers/nvme")
    try system.write("mount.varve", to: "proc/77/comm")
    try system.makeFolder("proc/77/fd")
    #expect(symlink("\(system.root)/dev/vfio/3", "\(system.root)/proc/77/fd/9") == 0)
    let error = #expect(throws: FunctionError.self) { try Binding.unbind(try address(), in: system.tree) }
    #expect(error?.problem.contains("mount.varve (process 77)") == true)
  }
}
