import Device
import Glibc
import PCIHost
import SystemFiles

/// What driving a real NVMe controller needs: IOMMU, VFIO, permission, lockable memory.
struct HardwareChecks {
  let tree: SystemTree
  let controllers: [FunctionInfo]

  var all: [Check] {
    [iommu, driver, container, memoryLimit, hugePages] + controllers.map(controller)
      + controllers.compactMap(users)
  }

  private var iommu: Check {
    let groups = tree.names(in: "\(tree.sys)/kernel/iommu_groups").count
    guard groups > 0 else {
      return Check(
        "IOMMU", .missing, "it is off, so the kernel lets no process have a device",
        remedy: "turn it on in the firmware (VT-d, AMD-Vi) and boot with intel_iommu=on or amd_iommu=on")
    }
    return Check("IOMMU", "on, with \(groups) groups")
  }

  private var driver: Check {
    guard tree.exists("\(tree.sys)/bus/pci/drivers/vfio-pci") else {
      return Check(
        "vfio-pci", .missing, "the driver is not loaded",
        remedy: "load it with: sudo modprobe vfio-pci; at every boot: echo vfio-pci | sudo tee "
          + "/etc/modules-load.d/vfio-pci.conf")
    }
    return Check("vfio-pci", "the driver is loaded")
  }

  private var container: Check {
    let path = "\(tree.dev)/vfio/vfio"
    guard tree.exists(path) else {
      return Check("VFIO", .missing, "there is no \(path)", remedy: "load it with: sudo modprobe vfio-pci")
    }
    return permission("VFIO", path, remedy: "allow it with: sudo chmod a+rw \(path)")
  }

  /// What a mount with the default cache locks, with room for another process of the user's, in bytes.
  private static let lockedMemory: rlim_t = 256 << 20

  /// DMA memory is locked, and only root's is not limited.
  private var memoryLimit: Check {
    var limit = rlimit()
    getrlimit(__rlimit_resource_t(__RLIMIT_MEMLOCK.rawValue), &limit)
    guard limit.rlim_cur != rlim_t.max else { return Check("locked memory", "not limited") }
    let text = Size.text(UInt64(limit.rlim_cur))
    if geteuid() == 0 { return Check("locked memory", "\(text), which does not bind root") }
    guard limit.rlim_cur < Self.lockedMemory else { return Check("locked memory", "at most \(text)") }
    return Check(
      "locked memory", .missing, "at most \(text) (RLIMIT_MEMLOCK); a mount locks about 200 MiB for DMA",
      remedy: "raise it with: ulimit -l unlimited, LimitMEMLOCK=infinity in a systemd unit, or memlock in "
        + "/etc/security/limits.conf")
  }

  private var hugePages: Check {
    let free = tree.text(of: "\(tree.sys)/kernel/mm/hugepages/hugepages-2048kB/free_hugepages") ?? "0"
    guard (Int(free) ?? 0) > 0 else {
      return Check(
        "huge pages", .note, "none is free; DMA memory will be of 4 KiB pages",
        remedy: "reserve some with: echo 256 | sudo tee /proc/sys/vm/nr_hugepages")
    }
    return Check("huge pages", "\(free) of 2 MiB are free")
  }

  private func controller(_ function: FunctionInfo) -> Check {
    let name = "controller \(function.address)"
    guard function.isBoundToVFIO, let group = function.group else {
      return unbound(function, name)
    }
    let path = "\(tree.dev)/vfio/\(group)"
    let holders = OpenFiles.holders(of: path, in: tree)
    if !holders.isEmpty {
      return Check(name, "held by \(holders.map(\.description).joined(separator: ", "))")
    }
    return permission(
      name, path, remedy: "allow it with: sudo chown \"$USER\" \(path); for good: \(Self.ruleRemedy)")
  }

  /// A udev rule that lets the members of a group use every function bound to vfio-pci, and how it takes effect.
  private static let ruleRemedy =
    "sudo groupadd -f varve; sudo usermod -aG varve \"$USER\"; echo 'SUBSYSTEM==\"vfio\", GROUP=\"varve\", "
    + "MODE=\"0660\"' | sudo tee /etc/udev/rules.d/70-varve.rules; sudo udevadm control --reload; "
    + "sudo udevadm trigger --subsystem-match=vfio"

  /// Whether others than root can use a controller; nil where that is not the question.
  private func users(_ function: FunctionInfo) -> Check? {
    guard geteuid() == 0, function.isBoundToVFIO, let group = function.group else { return nil }
    let (name, path) = ("users of \(function.address)", "\(tree.dev)/vfio/\(group)")
    var status = stat()
    guard stat(path, &status) == 0 else { return nil }
    guard
      status.st_uid != 0 || status.st_gid != 0 && status.st_mode & 0o060 == 0o060
        || status.st_mode & 0o006 == 0o006
    else {
      return Check(
        name, .note, "only root can open \(path)", remedy: "let members of a group do so: \(Self.ruleRemedy)")
    }
    return Check(name, "\(path) can be opened by others than root")
  }

  /// A controller that the kernel has is no fault, but Varve cannot drive it.
  private func unbound(_ function: FunctionInfo, _ name: String) -> Check {
    let uses = BlockUse.all(of: function, in: tree)
    guard uses.isEmpty else {
      return Check(
        name, .note, "the kernel's, and in use: \(uses.map(\.description).joined(separator: ", "))")
    }
    return Check(
      name, .note, "not bound to vfio-pci but to \(function.driver ?? "no driver")",
      remedy: "let Varve have it with: sudo varve bind \(function.address)")
  }

  private func permission(_ name: String, _ path: String, remedy: String) -> Check {
    guard access(path, R_OK | W_OK) == 0 else {
      return Check(name, .missing, "no permission to open \(path)", remedy: remedy)
    }
    return Check(name, "\(path) can be opened")
  }
}
