import ArgumentParser
import SystemFiles

/// Where a command looks for what the kernel says of the machine.
struct SystemOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Look at the copy of /sys, /proc and /dev in this folder.", valueName: "dir"))
  var sysroot = ""

  /// Whether it is the machine itself that is looked at.
  var isThisMachine: Bool { sysroot.isEmpty || sysroot == "/" }

  /// The pseudo file systems to look at.
  var tree: SystemTree { SystemTree(root: sysroot == "/" ? "" : sysroot) }
}
