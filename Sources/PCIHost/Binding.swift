import Glibc
import PCI
import SystemFiles

/// Binds an NVMe controller to `vfio-pci`, or back to the kernel's own driver. Both need root.
public enum Binding {
  /// Binds the function at an address to `vfio-pci`, so that a process can open it. Does nothing when it is
  /// bound already.
  /// - Parameter force: bind although processes have its block devices open; mounts, swap and volumes are
  ///   never overridden.
  /// - Returns: the function as it is then.
  /// - Throws: `FunctionError` when it is no NVMe controller, when something uses one of its block devices
  ///   (all uses are named), when the IOMMU is off, or when the kernel refuses.
  @discardableResult
  public static func bind(
    _ address: FunctionAddress, force: Bool = false, in tree: SystemTree = SystemTree()
  ) throws(FunctionError) -> FunctionInfo {
    let function = try controller(address, in: tree)
    guard !function.isBoundToVFIO else { return function }
    guard function.group != nil else {
      throw FunctionError(
        "\(address) is in no IOMMU group: the IOMMU is off",
        remedy: "turn it on in the firmware (VT-d, AMD-Vi) and boot with intel_iommu=on or amd_iommu=on",
        errno: ENODEV)
    }
    let uses = BlockUse.all(of: function, in: tree).filter { !force || !$0.canBeOverridden }
    guard uses.isEmpty else {
      throw FunctionError(
        "\(address) is in use: \(uses.map(\.description).joined(separator: ", "))",
        remedy: uses.contains { !$0.canBeOverridden }
          ? "end that use first" : "end that use first, or use --force",
        errno: EBUSY)
    }
    return try move(function, to: "vfio-pci", in: tree)
  }

  /// Unbinds the function at an address from `vfio-pci` and binds it to the kernel's `nvme` driver. Does
  /// nothing when it is bound to that already.
  /// - Returns: the function as it is then.
  /// - Throws: `FunctionError` when it is no NVMe controller, when a process has it open, or when the kernel
  ///   refuses.
  @discardableResult
  public static func unbind(
    _ address: FunctionAddress, in tree: SystemTree = SystemTree()
  ) throws(FunctionError) -> FunctionInfo {
    let function = try controller(address, in: tree)
    guard function.driver != "nvme" else { return function }
    // Unbinding a function that a process has open would block in the kernel until that process closes it.
    if function.isBoundToVFIO, let group = function.group {
      let holders = OpenFiles.holders(of: "\(tree.dev)/vfio/\(group)", in: tree)
      guard holders.isEmpty else {
        throw FunctionError(
          "\(address) is held by \(holders.map(\.description).joined(separator: ", "))",
          remedy: "unmount it or end that process first", errno: EBUSY)
      }
    }
    return try move(function, to: "nvme", in: tree)
  }

  private static func controller(_ address: FunctionAddress, in tree: SystemTree) throws(FunctionError)
    -> FunctionInfo
  {
    let function = try Discovery.function(at: address, in: tree)
    guard function.classCode == FunctionInfo.nvmeClass else {
      throw FunctionError(
        "\(address) is no NVMe controller (\(function.description))",
        remedy: "see the NVMe controllers with: varve list", errno: ENODEV)
    }
    return function
  }

  /// Unbinds a function from its driver and offers it to `driver` alone.
  private static func move(
    _ function: FunctionInfo, to driver: String, in tree: SystemTree
  ) throws(FunctionError) -> FunctionInfo {
    guard tree.exists("\(tree.sys)/bus/pci/drivers/\(driver)") else {
      throw FunctionError(
        "the kernel has no driver \(driver) loaded", remedy: "load it with: sudo modprobe \(driver)",
        errno: ENODEV)
    }
    let override = "\(function.folder)/driver_override"
    try write(driver, to: override, function, in: tree)
    do throws(FunctionError) {
      if function.driver != nil {
        try write("\(function.address)", to: "\(function.folder)/driver/unbind", function, in: tree)
      }
      try write("\(function.address)", to: "\(tree.sys)/bus/pci/drivers_probe", function, in: tree)
      let bound = try Discovery.function(at: function.address, in: tree)
      guard bound.driver == driver else {
        throw FunctionError(
          "the driver \(driver) did not take \(function.address)", remedy: "see why with: sudo dmesg",
          errno: ENODEV)
      }
      // `nvme` needs no override to bind its controllers.
      if driver == "nvme" { try write("\n", to: override, function, in: tree) }
      return bound
    } catch {
      restore(function, override, in: tree)
      throw error
    }
  }

  /// After a failure, tries to bind the former driver again.
  private static func restore(_ function: FunctionInfo, _ override: String, in tree: SystemTree) {
    _ = tree.write(function.isBoundToVFIO ? "vfio-pci" : "\n", to: override)
    if function.driver != nil {
      _ = tree.write("\(function.address)", to: "\(tree.sys)/bus/pci/drivers_probe")
    }
  }

  private static func write(
    _ text: String, to path: String, _ function: FunctionInfo, in tree: SystemTree
  ) throws(FunctionError) {
    switch tree.write(text, to: path) {
    case 0: return
    case let code where code == EACCES || code == EPERM:
      throw FunctionError(
        "no permission to change the driver of \(function.address)", remedy: "do it as root, with sudo",
        errno: code)
    case let code:
      throw FunctionError("the kernel refused a write to \(path)", errno: code)
    }
  }
}
