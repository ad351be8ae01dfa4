// swift-tools-version: 6.2
import PackageDescription

/// Debug builds, which the tests are, check at run time that no two accesses to a variable overlap; in release builds these
/// checks were a sixth of a small write's instructions.
let settings: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .unsafeFlags(["-enforce-exclusivity=unchecked"], .when(configuration: .release)),
]

/// A library module: a folder of `Sources/`.
func module(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
  .target(name: name, dependencies: dependencies, path: "Sources/\(name)", swiftSettings: settings)
}

/// A part of the daemon or of a tool: a folder outside `Sources/`, with its manual page where it has one.
func part(
  _ name: String, path: String, manual: String? = nil, _ dependencies: [Target.Dependency]
) -> Target {
  .target(
    name: name, dependencies: dependencies, path: path, exclude: manual.map { [$0] } ?? [],
    swiftSettings: settings)
}

/// A program: a folder outside `Sources/`, with its manual page where it has one.
func program(
  _ name: String, path: String, manual: String? = nil, _ dependencies: [Target.Dependency]
) -> Target {
  .executableTarget(
    name: name, dependencies: dependencies, path: path, exclude: manual.map { [$0] } ?? [],
    swiftSettings: settings,
    // All symbols are bound before anything runs, so that the tables of their addresses can be read-only.
    linkerSettings: [.unsafeFlags(["-Xlinker", "-z", "-Xlinker", "now"])])
}

/// The tests of one module.
func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .testTarget(
    name: "\(name)Tests", dependencies: dependencies, path: "Tests/\(name)Tests", swiftSettings: settings)
}

let arguments: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")
let log: Target.Dependency = .product(name: "Logging", package: "swift-log")

let package = Package(
  name: "varve",
  products: [
    // One program, which is mkfs.varve, fsck.varve and mount.varve too when it is called by these names.
    .executable(name: "varve", targets: ["varve"])
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
  ],
  targets: [
    // System libraries and CPU instructions: the only code that is not Swift.
    .systemLibrary(name: "CMachine", path: "Sources/CMachine"),
    .systemLibrary(
      name: "CFuse3", path: "Sources/CFuse3", pkgConfig: "fuse3", providers: [.apt(["libfuse3-dev"])]),
    .systemLibrary(
      name: "CPCI", path: "Sources/CPCI", pkgConfig: "libpci", providers: [.apt(["libpci-dev"])]),
    .systemLibrary(
      name: "CNUMA", path: "Sources/CNUMA", pkgConfig: "numa", providers: [.apt(["libnuma-dev"])]),
    .systemLibrary(
      name: "CBlkid", path: "Sources/CBlkid", pkgConfig: "blkid", providers: [.apt(["libblkid-dev"])]),
    .systemLibrary(
      name: "CSeccomp", path: "Sources/CSeccomp", pkgConfig: "libseccomp",
      providers: [.apt(["libseccomp-dev"])]),

    // From the device upwards.
    module("NVMeSpec", ["CMachine"]),
    module("SystemFiles", ["CMachine"]),
    module("PCI", ["CMachine"]),
    module("PCIHost", ["CMachine", "PCI", "SystemFiles", "CPCI", "CNUMA"]),
    module("VFIO", ["SystemFiles", "PCIHost", "PCI", "CMachine"]),
    module("VFIOUser", ["JSONValue", "PCI", "CMachine"]),
    module("EmulatedController", ["SystemFiles", "NVMeSpec", "PCI", "CMachine"]),
    module("VFIOUserServer", ["VFIOUser", "EmulatedController", "NVMeSpec", "PCI", "CMachine"]),
    module("NVMe", ["NVMeSpec", "PCI", "CMachine"]),
    module("BlockCRC", ["CMachine"]),
    module("Block", ["BlockProtocol", "NVMe", "NVMeSpec", "PCI", "BlockCRC", "CMachine"]),
    module(
      "Device",
      [
        "BlockProtocol", "PCIHost", "Block", "NVMe", "PCI", "VFIO", "VFIOUser", "EmulatedController",
        "Format",
      ]),

    module("JSONValue"),
    module("Control", ["JSONValue", "Device", "Block", "NVMe", "NVMeSpec", "PCI", "CMachine"]),

    // What the filesystem, the mount and the device say to each other.
    module("BlockProtocol"),
    module("FileProtocol", ["BlockProtocol"]),

    // The filesystem, which names no device.
    module("Format", ["BlockCRC", "CMachine"]),
    module("FileSystem", ["FileProtocol", "BlockProtocol", "Format", "CMachine"]),
    module("Checker", ["FileProtocol", "BlockProtocol", "Format", "FileSystem", "CMachine"]),
    module("Simulation", ["FileProtocol", "BlockProtocol", "FileSystem", "Format", "Checker"]),

    // The two joined, and what users run.
    module("Reactor", ["FileProtocol", "BlockProtocol", "SystemFiles", "CMachine"]),
    part("Confinement", path: "Mount/Confinement", ["SystemFiles", "CSeccomp", "CMachine"]),
    part(
      "MountSession", path: "Mount/Session",
      ["SystemFiles", "FileProtocol", "CFuse3", "Confinement", "Reactor", "CMachine"]),
    part(
      "MountDaemon", path: "Mount/Daemon",
      [
        "SystemFiles", "FileProtocol", "MountSession", "Confinement", "Reactor", "Device", "Block", "NVMe",
        "NVMeSpec",
        "FileSystem", "Format", "PCI", "CMachine", "Control", "JSONValue", "ToolSupport", arguments, log,
      ]),
    part(
      "ToolSupport", path: "Tools/lib/ToolSupport",
      ["BlockProtocol", "Block", "NVMe", "CBlkid", "CMachine", "Device", "Format"]),
    part(
      "MkfsCommand", path: "Tools/mkfs", manual: "mkfs.varve.8",
      [
        "BlockProtocol", "Block", "Control", "NVMe", "CMachine", "Device", "Format", "JSONValue",
        "ToolSupport", arguments,
      ]),
    part(
      "FsckCommand", path: "Tools/fsck", manual: "fsck.varve.8",
      [
        "BlockProtocol", "Block", "Checker", "CMachine", "Control", "Device", "Format", "JSONValue",
        "ToolSupport", arguments,
      ]),
    program(
      "varve", path: "Tools/varve", manual: "varve.8",
      [
        "SystemFiles", "Reactor", "PCIHost", "BlockProtocol", "Device", "Format", "Block", "NVMe", "NVMeSpec",
        "PCI", "CMachine", "Control", "JSONValue", "ToolSupport", "VFIOUserServer", "Confinement",
        "MkfsCommand", "FsckCommand", "MountDaemon", arguments,
      ]),

    // What the benchmarks and the proofs run.
    part("MemoryService", path: "Tools/lib/bench/null/Service", ["FileProtocol"]),
    program(
      "null-daemon", path: "Tools/lib/bench/null/Daemon",
      ["FileProtocol", "MemoryService", "MountSession", "Reactor", "PCI", "CMachine", arguments]),
    program(
      "driver-bench", path: "Tools/lib/bench/driver",
      ["BlockProtocol", "Block", "NVMe", "NVMeSpec", "PCI", "CMachine"]),
    .systemLibrary(name: "CMallocTrace", path: "Tools/lib/bench/malloc-trace"),
    program(
      "filesystem-bench", path: "Tools/lib/bench/filesystem",
      [
        "FileProtocol", "Reactor", "FileSystem", "Format", "Block", "NVMe", "EmulatedController", "PCI",
        "CMachine", "CMallocTrace",
      ]),
    program("bench-load", path: "Tools/lib/bench/load", [arguments]),
    program("flips", path: "Tools/lib/soak/flips", ["Simulation", arguments]),
    program("damage", path: "Tools/lib/soak/damage", ["Format", "Simulation", arguments]),
    program("hostile", path: "Tools/lib/soak/hostile", ["Simulation", arguments]),
    program("fills", path: "Tools/lib/soak/fills", ["Simulation", arguments]),
    program("changed-pages", path: "Tools/lib/soak/changed-pages", ["Simulation", arguments]),
    part(
      "FaultLoad", path: "Tools/lib/soak/faults/Load",
      ["BlockProtocol", "Block", "NVMe", "NVMeSpec", "EmulatedController", "PCI", "CMachine"]),
    program("faults", path: "Tools/lib/soak/faults/Command", ["FaultLoad", arguments]),
    part(
      "FuzzTargets", path: "Tools/lib/fuzz/Targets",
      ["BlockProtocol", "Block", "NVMe", "NVMeSpec", "EmulatedController", "PCI", "CMachine"]),
    tests("Fuzz", ["FuzzTargets"]),
    tests("FaultLoad", ["FaultLoad"]),
    program("cleaning", path: "Tools/lib/cleaning", ["Simulation", arguments]),
    program("crash", path: "Tools/lib/crash", ["FileProtocol", "FileSystem", "Simulation", arguments]),

    // Tests.
    tests("FileSystem", ["FileProtocol", "BlockProtocol", "FileSystem", "Simulation", "Format"]),
    tests(
      "Simulation", ["FileProtocol", "BlockProtocol", "Simulation", "FileSystem", "Format", "MemoryService"]),
    tests("PCI", ["PCI", "CMachine"]),
    tests("PCIHost", ["SystemFiles", "PCI", "PCIHost", "TestSupport"]),
    tests("SystemFiles", ["SystemFiles", "TestSupport"]),
    tests(
      "VFIOUser",
      [
        "PCIHost", "BlockProtocol", "VFIOUser", "VFIOUserServer", "EmulatedController", "Block", "NVMe",
        "PCI", "CMachine", "TestSupport",
      ]),
    tests("VFIO", ["PCIHost", "BlockProtocol", "VFIO", "Block", "NVMe", "PCI", "CMachine", "TestSupport"]),
    .target(name: "TestSupport", path: "Tests/TestSupport", swiftSettings: settings),
    tests("Format", ["Format", "BlockCRC", "CMachine", "TestSupport"]),
    tests(
      "Tools", ["FileProtocol", "varve", "Control", "ToolSupport", "JSONValue", "Simulation", "TestSupport"]),
    tests("NVMeSpec", ["NVMeSpec", "TestSupport"]),
    tests(
      "Reactor",
      [
        "FileProtocol", "BlockProtocol", "Reactor", "Block", "NVMe", "EmulatedController", "PCI", "CMachine",
        "DriverTestSupport", "TestSupport",
      ]),
    .target(
      name: "DriverTestSupport",
      dependencies: ["BlockProtocol", "Block", "NVMe", "NVMeSpec", "EmulatedController", "PCI", "CMachine"],
      path: "Tests/DriverTestSupport", swiftSettings: settings),
    tests(
      "NVMe",
      [
        "Block", "NVMe", "NVMeSpec", "PCI", "CMachine", "EmulatedController", "DriverTestSupport",
        "TestSupport",
      ]),
    tests(
      "Block",
      [
        "BlockProtocol", "Block", "NVMe", "NVMeSpec", "PCI", "CMachine", "EmulatedController",
        "DriverTestSupport", "TestSupport",
      ]),
    tests("EmulatedController", ["EmulatedController", "NVMeSpec", "PCI", "CMachine", "TestSupport"]),
    tests("MountSession", ["FileProtocol", "MountSession", "MemoryService", "Reactor", "PCI", "CMachine"]),
    tests("Confinement", ["CSeccomp", "Confinement"]),
    tests("JSONValue", ["JSONValue", "TestSupport"]),
    tests("Control", ["Control", "JSONValue", "NVMe", "NVMeSpec", "PCI", "CMachine", "TestSupport"]),
    tests("Checker", ["FileProtocol", "Checker", "Format", "FileSystem", "TestSupport"]),
  ]
)
