import Confinement
import Glibc
import SystemFiles

/// What mounting any filesystem needs: FUSE, and a kernel that can confine a daemon.
struct MountChecks {
  let tree: SystemTree

  var all: [Check] { [fuse, helper, confinement] }

  private var fuse: Check {
    let path = "\(tree.dev)/fuse"
    guard tree.exists(path) else {
      return Check(
        "FUSE", .missing, "there is no \(path)", remedy: "load the kernel's part with: sudo modprobe fuse")
    }
    guard access(path, R_OK | W_OK) == 0 else {
      return Check(
        "FUSE", .missing, "no permission to open \(path)", remedy: "allow it with: sudo chmod a+rw \(path)")
    }
    return Check("FUSE", "\(path) can be opened")
  }

  /// Who is not root mounts through a helper.
  private var helper: Check {
    let folders = getenv("PATH").map { String(cString: $0) } ?? "/usr/bin:/bin"
    let found = folders.split(separator: ":").map { "\($0)/fusermount3" }
      .first { (path: String) in access(path, X_OK) == 0 }
    if let found { return Check("fusermount3", found) }
    return Check(
      "fusermount3", geteuid() == 0 ? .note : .missing, "not found; without it only root can mount",
      remedy: "install it with: sudo apt install fuse3")
  }

  /// A daemon gives up rights and system calls, unless it is told not to.
  private var confinement: Check {
    guard let reason = ConfinementTrial.run() else {
      return Check(
        "confinement", "a process without capabilities, with a filter of system calls, behaves as it should")
    }
    return Check(
      "confinement", .missing, reason,
      remedy: "use a kernel with CONFIG_SECCOMP_FILTER, or mount with -o confine=no")
  }
}
